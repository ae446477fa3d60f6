-- Workflows of a tenant in this partition, newest first, each as id, status and last sequence.
-- ARGV: tenant, id that they come after ('' for none), how many, connection ('' for any), whether the user's label
--       counts, the label, then the wanted statuses (none for any).
local tag = KEYS[1]
local tenant, after, limit, connection, by_user, user = unpack(ARGV, 1, 6)
local wanted = {}
for at = 7, #ARGV do wanted[ARGV[at]] = true end
local any_status = #ARGV < 7

local found = {}
local from, chunk = after == '' and '+' or '(' .. after, 100
while #found < 3 * tonumber(limit) do
  local ids = redis.call('ZREVRANGEBYLEX', tag .. ':workflows:' .. tenant, from, '-', 'LIMIT', 0, chunk)
  for _, id in ipairs(ids) do
    local record = redis.call('HMGET', tag .. ':workflow:' .. id, 'status', 'last', 'connection', 'user')
    if record[1] and (any_status or wanted[record[1]]) and (connection == '' or record[3] == connection)
      and (by_user == '0' or record[4] == user) and #found < 3 * tonumber(limit) then
      found[#found + 1] = id
      found[#found + 1] = record[1]
      found[#found + 1] = record[2]
    end
  end
  if #ids < chunk then break end
  from = '(' .. ids[#ids]
end
return found

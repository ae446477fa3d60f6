-- Appends events to a log, with everything that follows from them: the record, the lists it is in, the notice.
-- ARGV: id, tenant, expected last sequence, status ('' keeps it), whether that is terminal, time of the last event,
--       version of the events, whether the log begins, its connection, its user's label, then the events' texts.
local tag = KEYS[1]
local id, tenant, expected, status, terminal, time, version, begins, connection, user = unpack(ARGV, 1, 10)
local log, record = tag .. ':log:' .. id, tag .. ':workflow:' .. id

local owner = redis.call('HGET', record, 'tenant')
if owner and owner ~= tenant then return {'last', '0'} end
-- The log itself says where it ends. XADD alone would take any later id, and leave a hole.
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last ~= tonumber(expected) then return {'last', string.format('%d', last)} end
if not owner and begins == '0' then return {'headless'} end

for at = 11, #ARGV do
  last = last + 1
  redis.call('XADD', log, string.format('%d-0', last), 'v', version, 'e', ARGV[at])
end
if not owner then
  redis.call('HSET', record, 'min_reader', 1, 'tenant', tenant, 'connection', connection, 'user', user)
  redis.call('ZADD', tag .. ':workflows:' .. tenant, 0, id)
end
redis.call('HSET', record, 'last', string.format('%d', last), 'updated', time)
if status ~= '' then redis.call('HSET', record, 'status', status) end
if terminal == '1' then
  redis.call('ZREM', tag .. ':open', id)
  if redis.call('ZADD', tag .. ':ended', time, id) == 1 then redis.call('HINCRBY', tag .. ':ended-of', tenant, 1) end
elseif not owner then
  redis.call('ZADD', tag .. ':open', 0, id)
end
redis.call('PUBLISH', tag, id .. ' ' .. tenant .. ' ' .. string.format('%d', last))
return {'stored'}

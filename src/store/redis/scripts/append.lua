-- Appends events to a log, with everything that follows from them: the record, the lists it is in, the work, the notice.
-- ARGV: id, tenant, expected last sequence, status ('' keeps it), whose turn it is (same, worker, person, nobody), until
--       when a person's in ms, time of the last event, version of the events, whether the log begins, its connection, its
--       user's label, token of the writer's lease ('' without), length of a lease in ms, then the events' texts.
local tag = KEYS[1]
local id, tenant, expected, status, turn, until_, time, version, begins, connection, user, token, lease = unpack(ARGV, 1, 13)
local log, record, due = tag .. ':log:' .. id, tag .. ':workflow:' .. id, tag .. ':due:' .. tenant

local owner, holder = unpack(redis.call('HMGET', record, 'tenant', 'holder'))
if owner and owner ~= tenant then return {'last', '0'} end
if owner and token ~= '' and holder ~= token then return {'lease'} end
-- The log itself says where it ends. XADD alone would take any later id, and leave a hole.
local newest = redis.call('XREVRANGE', log, '+', '-', 'COUNT', 1)[1]
local last = newest and tonumber(string.match(newest[1], '^%d+')) or 0
if last ~= tonumber(expected) then return {'last', string.format('%d', last)} end
if not owner and begins == '0' then return {'headless'} end

for at = 14, #ARGV do
  last = last + 1
  redis.call('XADD', log, string.format('%d-0', last), 'v', version, 'e', ARGV[at])
end
redis.call('HSET', record, 'last', string.format('%d', last), 'updated', time)
if status ~= '' then redis.call('HSET', record, 'status', status) end
if not owner then
  redis.call('HSET', record, 'min_reader', 1, 'tenant', tenant, 'connection', connection, 'user', user)
  redis.call('ZADD', tag .. ':workflows:' .. tenant, 0, id)
end
redis.call('PUBLISH', tag, id .. ' ' .. tenant .. ' ' .. string.format('%d', last))

if turn == 'nobody' then
  redis.call('ZREM', due, id)
  redis.call('HDEL', record, 'holder')
  if redis.call('ZADD', tag .. ':ended', time, id) == 1 then redis.call('HINCRBY', tag .. ':ended-of', tenant, 1) end
elseif turn == 'person' then
  -- Nobody holds it; a worker may take it when the person's time is over.
  redis.call('HDEL', record, 'holder', 'lost')
  redis.call('ZADD', due, until_, id)
  redis.call('ZADD', tag .. ':turns', 'NX', 0, tenant)
elseif token ~= '' then
  -- Its worker is alive, and has got somewhere.
  local clock = redis.call('TIME')
  redis.call('HSET', record, 'holder', token, 'lost', 1)
  redis.call('ZADD', due, clock[1] * 1000 + math.floor(clock[2] / 1000) + tonumber(lease), id)
  redis.call('ZADD', tag .. ':turns', 'NX', 0, tenant)
elseif turn == 'worker' then
  redis.call('HDEL', record, 'holder', 'lost')
  redis.call('ZADD', due, 0, id)
  redis.call('ZADD', tag .. ':turns', 'NX', 0, tenant)
  redis.call('PUBLISH', tag, 'work')
end
return {'stored'}

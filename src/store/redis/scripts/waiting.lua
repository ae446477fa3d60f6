-- How many workflows of this partition wait for a worker.
local tag = KEYS[1]
local clock = redis.call('TIME')
local now = clock[1] * 1000 + math.floor(clock[2] / 1000)
local waiting = 0
for _, tenant in ipairs(redis.call('ZRANGE', tag .. ':turns', 0, -1)) do
  waiting = waiting + redis.call('ZCOUNT', tag .. ':due:' .. tenant, '-inf', now)
end
return waiting

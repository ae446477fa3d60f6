-- Whether a worker holds a workflow. ARGV: id, tenant.
local tag = KEYS[1]
local clock = redis.call('TIME')
local until_ = redis.call('ZSCORE', tag .. ':due:' .. ARGV[2], ARGV[1])
local held = redis.call('HEXISTS', tag .. ':workflow:' .. ARGV[1], 'holder') == 1
return held and until_ and tonumber(until_) > clock[1] * 1000 + math.floor(clock[2] / 1000) and 1 or 0

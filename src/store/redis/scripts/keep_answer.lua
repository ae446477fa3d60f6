-- Keeps the answer beside its claim; without a claim nothing is kept. ARGV: request, answer.
local record = KEYS[1] .. ':request:' .. ARGV[1]
if redis.call('EXISTS', record) == 1 then redis.call('HSET', record, 'answer', ARGV[2]) end
return 0

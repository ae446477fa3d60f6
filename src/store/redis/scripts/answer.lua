-- The answer beside a claim. ARGV: request.
return redis.call('HGET', KEYS[1] .. ':request:' .. ARGV[1], 'answer')

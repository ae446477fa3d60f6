-- The record of a connection. ARGV: tenant, id.
return redis.call('HGET', KEYS[1] .. ':connection:' .. ARGV[1] .. ':' .. ARGV[2], 'record')

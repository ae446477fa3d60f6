-- What is known of a connection. ARGV: tenant, connection.
return redis.call('HGET', KEYS[1] .. ':knowledge:' .. ARGV[1] .. ':' .. ARGV[2], 'record')

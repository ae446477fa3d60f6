-- How many workflows of each tenant have ended in this partition, each as tenant and count.
return redis.call('HGETALL', KEYS[1] .. ':ended-of')

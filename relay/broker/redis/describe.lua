-- Returns field and value of each field of a log's meta data, flat; nothing where there is no log.
-- KEYS: meta
return redis.call('HGETALL', KEYS[1])

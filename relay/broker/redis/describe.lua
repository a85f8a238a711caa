-- Returns where a log stands: its meta data, the number of its entries, the last of them.
-- KEYS: meta, log
return {
    redis.call('HGETALL', KEYS[1]),
    redis.call('XLEN', KEYS[2]),
    redis.call('XREVRANGE', KEYS[2], '+', '-', 'COUNT', 1),
}

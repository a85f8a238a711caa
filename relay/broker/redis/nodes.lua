-- Returns the nodes that are alive, and those that are gone and may have left something.
-- KEYS: nodes
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local alive, gone = {}, {}
local all = redis.call('HGETALL', KEYS[1])
for at = 1, #all, 2 do
    local list = tonumber(all[at + 1]) > now and alive or gone
    list[#list + 1] = all[at]
end
return { alive, gone }

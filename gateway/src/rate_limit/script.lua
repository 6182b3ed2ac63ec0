-- GCRA for the keys of one request, narrowest first. ARGV has two numbers for each: after how long there is one more, and how full it
-- may be and take one more. All times are in microseconds, and by this server's clock, so that those of the gateways need not agree.
--
-- Answers {0, how full each is now}, or {the place of the key that is full, how long until it is not}, and then none has been counted.
local time = redis.call('TIME')
local now = time[1] * 1000000 + time[2]
local arrivals = {}
for place, key in ipairs(KEYS) do
    local interval = tonumber(ARGV[2 * place - 1])
    local tolerance = tonumber(ARGV[2 * place])
    local arrival = tonumber(redis.call('GET', key) or now) or now
    -- No more than full. A clock that was set back leaves more behind, and unless that is put right here, it stays so until the clock
    -- has come there again.
    local full = now + tolerance + interval
    if arrival > full then
        arrival = full
        redis.call('SET', key, string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000))
    end
    if arrival - tolerance > now then
        return {place, arrival - tolerance - now}
    end
    arrivals[place] = math.max(arrival, now) + interval
end
local answer = {0}
for place, key in ipairs(KEYS) do
    local ahead = arrivals[place] - now
    redis.call('SET', key, string.format('%.0f', arrivals[place]), 'PX', math.ceil(ahead / 1000))
    answer[place + 1] = ahead
end
return answer

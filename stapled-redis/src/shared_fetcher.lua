-- The answers about one CertID that processes share, and the lease of the process that asks the responder.
--
-- KEYS[1] is the hash of the answer. The lease is beside it, with the same hash tag. ARGV[1] is the procedure. Each call takes
-- effect wholly or not at all. Whoever reads an answer verifies it.

local answer, lease = KEYS[1], KEYS[1] .. ':asking'

local function now()
    local time = redis.call('TIME')
    return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- The response that is kept. One that is too large, and a key of another type, are removed.
local function kept(most)
    local kind = redis.call('TYPE', answer).ok
    if kind ~= 'none' and (kind ~= 'hash' or redis.call('HSTRLEN', answer, 'response') > tonumber(most)) then
        redis.call('DEL', answer)
    end
    return redis.call('HGET', answer, 'response')
end

local function version(response)
    return response and redis.sha1hex(response) or ''
end

-- Milliseconds since the responder was asked; none where that is in the future, or no time.
local function age()
    local asked_at = tonumber(redis.call('HGET', answer, 'asked_at') or nil)
    local passed = asked_at and math.floor(now() - asked_at)
    -- Not a number, and infinity, are no times.
    return passed and passed >= 0 and passed < 1e13 and passed or nil
end

local function release(token)
    if redis.call('TYPE', lease).ok ~= 'string' or redis.call('GET', lease) == token then
        redis.call('DEL', lease)
    end
end

local procedures = {}

-- A young answer; otherwise the lease to ask, with the version of what is kept; otherwise the advice to wait.
-- `refused` is a response that the caller did not believe.
function procedures.look(max_age, refused, token, held_for, most)
    local response, passed = kept(most), nil
    if response and response ~= refused then
        passed = age()
    end
    if passed and (max_age == '' or passed < tonumber(max_age)) then
        return {'answer', string.format('%.0f', passed), redis.call('HGET', answer, 'caches') or '', response}
    end
    if redis.call('SET', lease, token, 'NX', 'PX', held_for) then
        return {'ask', version(response)}
    end
    local left = redis.call('PTTL', lease)
    if redis.call('TYPE', lease).ok ~= 'string' or left < 0 or left > tonumber(held_for) then
        redis.call('DEL', lease)
    end
    return {'wait'}
end

function procedures.extend(token, held_for)
    if redis.call('GET', lease) == token then
        redis.call('PEXPIRE', lease, held_for)
    end
    return {'done'}
end

function procedures.release(token)
    release(token)
    return {'done'}
end

-- Keeps a response in place of the one of this version, or returns the one that is kept instead.
function procedures.publish(expected, token, asked_before, response, caches, lasts, most)
    local present = kept(most)
    if version(present) ~= expected then
        return {'other', version(present), present or ''}
    end
    redis.call('HSET', answer, 'response', response, 'asked_at', now() - tonumber(asked_before), 'caches', caches)
    redis.call('PEXPIRE', answer, lasts)
    release(token)
    return {'done'}
end

return procedures[ARGV[1]](unpack(ARGV, 2))

-- The requests of scripts/bench-vs-etcd over HTTP, for wrk: `-- put` or `-- range` says which. Both walk
-- through the same keys, so a put before a range leaves something to find.
local keys = 10000
local digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
local requests = {}
local sent = 0

local function base64(text)
  local out = {}
  for i = 1, #text, 3 do  -- Only texts of whole threes are encoded here.
    local a, b, c = text:byte(i, i + 2)
    local bits = a * 65536 + b * 256 + c
    for shift = 18, 0, -6 do
      local digit = math.floor(bits / 2 ^ shift) % 64 + 1
      out[#out + 1] = digits:sub(digit, digit)
    end
  end
  return table.concat(out)
end

function init(arguments)
  local method = arguments[1]
  local bytes = {}
  for i = 1, 255 do bytes[i] = string.char(i) end
  local value = base64(table.concat(bytes))
  wrk.method = "POST"
  wrk.headers["Content-Type"] = "application/json"
  for i = 1, keys do
    local body = '{"key":"' .. base64(string.format("k%08d", i)) .. '"'
    if method == "put" then body = body .. ',"value":"' .. value .. '"' end
    requests[i] = wrk.format(nil, "/v3/kv/" .. method, nil, body .. "}")
  end
end

function request()
  sent = sent % keys + 1
  return requests[sent]
end

function done(summary, latency, _)
  local errors = summary.errors
  io.write(string.format(
    '\nREPORT {"requests": %d, "failed": %d, "duration_us": %d, "p50_us": %d, "p99_us": %d}\n',
    summary.requests, errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    summary.duration, latency:percentile(50), latency:percentile(99)))
end

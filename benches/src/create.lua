-- Creates ConfigMaps with 1 KB of data, each with a name of its own.
-- Arguments: token, prefix of the names. Prints one line: requests, microseconds, failures, p50, p99, max.
local threads = 0

function setup(thread)
  thread:set("id", threads)
  threads = threads + 1
end

function init(args)
  wrk.method = "POST"
  wrk.path = "/api/v1/namespaces/bench/configmaps"
  wrk.headers["Authorization"] = "Bearer " .. args[1]
  wrk.headers["Content-Type"] = "application/json"
  wrk.headers["User-Agent"] = "bench/1"
  head = '{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"' .. args[2] .. "-" .. id .. "-"
  tail = '"},"data":{"value":"' .. string.rep("x", 1024) .. '"}}'
  count = 0
end

function request()
  count = count + 1
  return wrk.format(nil, nil, nil, head .. count .. tail)
end

function done(summary, latency, requests)
  local e = summary.errors
  local failed = e.connect + e.read + e.write + e.status + e.timeout
  io.write(string.format("RESULT %d %d %d %d %d %d\n", summary.requests, summary.duration, failed,
    latency:percentile(50), latency:percentile(99), latency.max))
end

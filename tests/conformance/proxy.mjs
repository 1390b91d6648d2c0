// Stands between the suite, which can send no header field of ours, and a server that wants a key:
// adds `Authorization` and passes all else through as it is, `Host` and `Origin` included.
//
// usage: node proxy.mjs PORT KEY     (prints its own URL, serves until it is killed)
import http from "node:http";

const [port, key] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true });

const proxy = http.createServer((request, response) => {
  const headers = [...request.rawHeaders, "Authorization", `Bearer ${key}`];
  const { method, url: path } = request;
  const onward = http.request({ host: "127.0.0.1", port, method, path, headers, agent, setHost: false });
  onward.on("response", (answer) => {
    response.writeHead(answer.statusCode, answer.rawHeaders);
    response.flushHeaders();
    answer.pipe(response);
    answer.on("error", () => response.destroy());
  });
  onward.on("error", () => response.destroy());
  // A client that leaves takes its request along.
  response.on("close", () => onward.destroy());
  request.pipe(onward);
});

proxy.listen(0, "127.0.0.1", () => console.log(`http://127.0.0.1:${proxy.address().port}/mcp`));

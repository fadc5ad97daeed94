// Node: its own TLS with the roots that it is given.
import { readFileSync } from "node:fs";
import tls from "node:tls";

const [port, servername, roots] = process.argv.slice(2);
const connection = tls.connect({ host: "127.0.0.1", port: Number(port), servername, ca: readFileSync(roots) });
connection.on("secureConnect", () => connection.end("GET / HTTP/1.1\r\n\r\n", () => process.exit(0)));
connection.on("error", (error) => {
  console.error(error.code, error.message);
  process.exit(1);
});

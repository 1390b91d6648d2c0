// The broker aedes on a port of loopback: node aedes.mjs PORT
import { createServer } from "node:net";
import { Aedes } from "aedes";

const broker = await Aedes.createBroker({
  authenticate: (client, username, password, done) =>
    username === "stranger" ? done(Object.assign(new Error("wrong"), { returnCode: 4 })) : done(null, true),
  authorizeSubscribe: (client, subscription, done) =>
    done(null, subscription.topic === "forbidden/#" ? null : subscription),
});
createServer(broker.handle).listen(Number(process.argv[2]), "127.0.0.1");

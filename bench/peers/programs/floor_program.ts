/** Nothing but Deno and as many empty workers as its argument says: the least that a node can take. */
const idle = new Blob(["onmessage = () => {}"], { type: "text/javascript" });
const url = URL.createObjectURL(idle);
for (let i = 0; i < Number(Deno.args[0]); i++) new Worker(url, { type: "module" });
console.log("ready");
setInterval(() => {}, 1_000_000);

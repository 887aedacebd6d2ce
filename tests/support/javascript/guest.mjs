// What a program with ClickHouse's own JavaScript client does as a guest; prints what it read as one line of JSON.
import { createRequire } from "node:module";

const [folder, url, database] = process.argv.slice(2);
const { createClient, ClickHouseError } = createRequire(`${folder}/`)("@clickhouse/client");
const client = createClient({ url, database, request_timeout: 60_000 });
const compressed = createClient({ url, database, compression: { response: true } });

async function rows(query, more = {}) {
  const answer = await client.query({ query, format: "JSONEachRow", ...more });
  return answer.json();
}

async function failure(work) {
  try {
    await work();
    return null;
  } catch (error) {
    return error instanceof ClickHouseError ? { code: error.code, type: error.type } : { other: String(error) };
  }
}

async function streamed(query) {
  const answer = await client.query({ query, format: "JSONEachRow" });
  let count = 0;
  let last = null;
  for await (const batch of answer.stream()) {
    count += batch.length;
    last = batch.at(-1).json();
  }
  return { count, last };
}

const numbers = "SELECT key, step, value FROM numbers WHERE key = {key:String} ORDER BY step";
const read = {
  ping: (await client.ping()).success,
  numbers: await rows(numbers, { query_params: { key: "loss" } }),
  json: await (await client.query({ query: "SELECT 1 AS one, 'é\"' AS text", format: "JSON" })).json(),
  parameters: await rows("SELECT {a:Array(String)} AS a, {n:Nullable(Int64)} AS n, {t:String} AS t", {
    query_params: { a: ["x'y", "z\\"], n: null, t: "tab\tline\nquote'" },
  }),
  settings: await rows("SELECT toDateTime64(0, 3, 'UTC') AS at", {
    clickhouse_settings: { date_time_output_format: "iso" },
  }),
  streamed: await streamed("SELECT number, toString(number) AS text FROM system.numbers LIMIT 100000"),
  compressed: await (await compressed.query({ query: "SELECT count() AS n FROM numbers", format: "JSONEachRow" })).json(),
  csv: await (await client.query({ query: "SELECT step, value FROM numbers ORDER BY step", format: "CSV" })).text(),
  together: (
    await Promise.all([...Array(20).keys()].map((n) => rows("SELECT {n:UInt8} * 2 AS n", { query_params: { n } })))
  ).map(([row]) => Number(row.n)),
  unknown: await failure(() => rows("SELECT no_such_column FROM numbers")),
  syntax: await failure(() => rows("SELEC 1")),
  written: await failure(() => client.command({ query: "DROP TABLE points_number" })),
  inserted: await failure(() => client.insert({ table: "points_number", values: [{ key: "x" }], format: "JSONEachRow" })),
};
await client.close();
await compressed.close();
console.log(JSON.stringify(read));

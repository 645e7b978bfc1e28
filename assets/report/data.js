/** The report's data: the run as JSON, timelines packed. */

/** The run; see RunReport in src/jobs/report. */
export const run = JSON.parse(document.getElementById('run').textContent);

const decodeBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The text of a captured stream. */
export const streamText = (stream) => new TextDecoder().decode(decodeBase64(stream.base64));

async function inflate(packed) {
  const stream = new Blob([decodeBase64(packed)])
    .stream()
    .pipeThrough(new DecompressionStream('deflate-raw'));
  return new Response(stream).arrayBuffer();
}

/** Unpacks a timeline: columns of `entries` numbers each, and texts of system calls by frame. */
export async function unpackTimeline({ packed, entries, calls }) {
  const buffer = await inflate(packed);
  return {
    calls: await unpackCalls(calls),
    count: entries,
    first: new Uint32Array(buffer, 0, entries),
    time: new Float32Array(buffer, 4 * entries, entries),
    task: new Uint16Array(buffer, 8 * entries, entries),
    name: new Uint16Array(buffer, 10 * entries, entries),
  };
}

async function unpackCalls(packed) {
  const calls = new Map();
  if (!packed) return calls;
  for (const line of new TextDecoder().decode(await inflate(packed)).split('\n')) {
    const at = line.indexOf(' ');
    if (at > 0) calls.set(Number(line.slice(0, at)), line.slice(at + 1));
  }
  return calls;
}

/** What the report holds: the run as JSON, drawings packed. */

/** The run; see RunReport in src/jobs/report. */
export const run = JSON.parse(document.getElementById('run').textContent);

const decodeBase64 = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

/** The text of a captured stream. */
export const streamText = (stream) => new TextDecoder().decode(decodeBase64(stream.base64));

/** Unpacks a timeline: columns of `entries` numbers each. */
export async function unpackTimeline({ packed, entries }) {
  const stream = new Blob([decodeBase64(packed)])
    .stream()
    .pipeThrough(new DecompressionStream('deflate-raw'));
  const buffer = await new Response(stream).arrayBuffer();
  return {
    count: entries,
    first: new Uint32Array(buffer, 0, entries),
    time: new Float32Array(buffer, 4 * entries, entries),
    task: new Uint16Array(buffer, 8 * entries, entries),
    name: new Uint16Array(buffer, 10 * entries, entries),
  };
}

// Which threads write a shared variable, and that going back undoes their writes in mirror order.
import { Replay } from 'revenant';

const trace = new URL('../traces/zen2/race', import.meta.url).pathname;
const replay = await Replay.open(trace);
try {
  await replay.runTo('main');
  // Every 1000th write: conditions are asked where the write has happened, and where it has been undone.
  const watch = replay.watch('counter', { condition: (here) => here.read('counter', 'i32') % 1000 === 0 });
  const writes = [];
  for (let stop = await replay.continue(); stop.kind !== 'exited'; stop = await replay.continue())
    if (stop.kind === 'watchpoint') writes.push({ tid: stop.tid, counter: replay.read('counter', 'i32') });
  const threads = new Set(writes.map(({ tid }) => tid));
  console.log(`${writes.map(({ counter }) => counter).join(' ')}, by ${threads.size} threads`);

  const undone = [];
  while (undone.length < writes.length) {
    const stop = await replay.reverseContinue();
    if (stop.kind === 'watchpoint') undone.push(stop.tid);
  }
  console.log(
    `mirrored: ${
      undone.join() ===
      writes
        .map(({ tid }) => tid)
        .toReversed()
        .join()
    }`,
  );
  watch.remove();
} finally {
  await replay.close();
}

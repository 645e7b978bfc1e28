// From the end of a recording back to the write that left a variable as it is, and on to the writes before.
import { Replay } from 'revenant';

const trace = new URL('../traces/skylake-pku/tree', import.meta.url).pathname;
const replay = await Replay.open(trace);
try {
  await replay.toEnd();
  console.log(`in the end, inserted is ${replay.read('inserted', 'i32')}`);
  const watch = replay.watch('inserted');
  for (let writes = 0; writes < 3; writes++) {
    const stop = await replay.reverseContinue();
    if (stop.kind !== 'watchpoint') break;
    const { file, line } = await replay.line();
    console.log(`after frame ${replay.frame} ${replay.symbolAt(replay.rip)} writes it (${file}:${line})`);
    console.log(`  before that it is ${replay.read('inserted', 'i32')}`);
  }
  watch.remove();
} finally {
  await replay.close();
}

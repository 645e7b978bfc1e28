// Where a program was when a signal killed it, and how it got there.
import { Replay } from 'revenant';

const trace = new URL('../traces/zen2/crash', import.meta.url).pathname;
const replay = await Replay.open(trace);
try {
  let stop = await replay.continue();
  while (stop.kind !== 'signal') stop = await replay.continue();
  console.log(`signal ${stop.signal}, reading at ${replay.register('rdi')}`);
  const crash = replay.mark();

  // In libc, in a function without a symbol: back to where the program's own code was last at a beginning.
  const program = await replay.breakAt('handle');
  await replay.reverseContinue();
  const { file, line } = await replay.line();
  const request = replay.register('rdi');
  console.log(`last at ${replay.symbolAt(replay.rip)}, ${file}:${line}, depth ${replay.register('rsi')}`);
  console.log(`its request has the name ${replay.readPointer(request)}`);
  program.remove();

  await replay.goBack(crash);
  console.log(`and again where the signal came, after frame ${replay.frame}`);
  crash.forget();
} finally {
  await replay.close();
}

// Every call of a function, with its arguments and the line it is called from; then back to the first.
import { Replay } from 'revenant';

const trace = new URL('../traces/skylake-pku/tree', import.meta.url).pathname;
const replay = await Replay.open(trace);
try {
  await replay.runTo('main');
  const root = replay.address('root');
  // Recursive calls pass over: only what the loop in main inserts is of interest.
  const calls = await replay.breakAt('insert', {
    condition: (here) => here.register('rdi') === here.readPointer(root),
  });
  const keys = [];
  while ((await replay.continue()).kind === 'breakpoint') keys.push(Number(replay.register('rsi')));
  console.log(`${keys.length} keys are inserted: ${keys.join(' ')}`);

  let back = 0;
  while ((await replay.reverseContinue()).kind === 'breakpoint') back++;
  console.log(`${back} calls back, before the first: inserted is ${replay.read('inserted', 'i32')}`);

  await replay.continue();
  const from = replay.readPointer(Number(replay.register('rsp')));
  const line = await replay.line(from - 1n);
  console.log(
    `the first is of key ${replay.register('rsi')}, from ${replay.symbolAt(from - 1n).split('+')[0]}`,
  );
  console.log(line ? `at ${line.file}:${line.line}` : 'at an unknown line');
  calls.remove();
} finally {
  await replay.close();
}

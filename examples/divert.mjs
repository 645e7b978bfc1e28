// Calls functions of the program at a place of the replay, in a copy that is discarded afterwards.
import { Replay } from 'revenant';

const trace = new URL('../traces/skylake-pku/tree', import.meta.url).pathname;
const replay = await Replay.open(trace);
try {
  await replay.runTo('print_tree');
  const root = replay.readPointer('root');
  await replay.divert(async (d) => {
    console.log(`sum ${await d.call('tree_sum', root)}`);
    await d.call('print_tree', root, 0);
    // Text in the program's own buffer comes first.
    console.log(`printed ${d.stdout.trim().split('\n').length} lines`);
    console.log((await d.evaluate('(char*)describe(root)')).text);
  });
  console.log(`still at ${replay.symbolAt(replay.rip)}`);
} finally {
  await replay.close();
}

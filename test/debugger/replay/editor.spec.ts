import { afterAll, beforeAll, expect, it } from 'vitest';
import path from 'node:path';
import { MachineInterface } from '../mi.js';
import { sample, serveRecording, type Recording } from './recording.js';

const script = path.resolve(import.meta.dirname, '../../../src/debugger/revenant-gdb.py');

let recording: Recording;
let gdb: MachineInterface;
beforeAll(async () => {
  recording = await serveRecording(sample('skylake-pku/tree'));
  gdb = new MachineInterface();
});
afterAll(async () => {
  gdb.close();
  await recording.close();
});

// gdb 13 has no DAP interpreter; editors' adapters use MI.
it('an editor debugs a recording by the machine interface', async () => {
  await gdb.send(`-interpreter-exec console "source ${script}"`);
  expect(await gdb.send('-gdb-set mi-async on')).toBe('^done');
  expect(await gdb.send(`-target-select extended-remote ${recording.endpoint}`)).toMatch(/^\^connected/);
  expect(await gdb.send('-list-target-features')).toMatch(/"reverse"/);
  expect(await gdb.send('-break-insert find_nothing')).toMatch(/^\^error/);
  expect(await gdb.send('-break-insert -c "key == 78" insert')).toMatch(/^\^done,bkpt=/);
  expect(await gdb.run('-exec-continue')).toMatch(/reason="breakpoint-hit".*func="insert"/);
  expect(await gdb.send('-stack-list-frames')).toMatch(/func="insert".*func="main"/);
  expect(await gdb.send('-stack-list-variables --simple-values')).toMatch(
    /name="key",arg="1",type="int",value="78"/,
  );
  expect(await gdb.send('-data-evaluate-expression root->key')).toBe('^done,value="108"');
  expect(await gdb.send('-thread-info')).toMatch(/name="tree"/);
  expect(await gdb.run('-exec-next')).toMatch(/reason="end-stepping-range"/);
  const text = gdb.text.length;
  expect(await gdb.run('-interpreter-exec console "goto 30"')).toMatch(/\*stopped/);
  expect(gdb.text.slice(text)).toMatch(/After frame 30/);
});

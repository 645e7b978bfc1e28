import { expect, it } from 'vitest';
import { fakeSession, type FakeSession } from '../../../test/debugger/fake-target.js';
import { handlePacket } from '../requests/dispatch.js';

const program = [0, 1, 2, 3, 4, 5].map((at) => ({ tid: 100, rip: 0x400000 + at }));

function start(): FakeSession & { ask(body: string): Promise<string>; rr(name: string): Promise<string> } {
  const fake = fakeSession(program);
  const ask = (body: string): Promise<string> => handlePacket(fake.session, body);
  const rr = async (name: string): Promise<string> =>
    Buffer.from(await ask(`qRRCmd:${name}:-1`), 'hex').toString();
  return { ...fake, ask, rr };
}

it('goes back and forward between visited places', async () => {
  const { ask, rr, target } = start();
  for (let at = 0; at < 4; at++) {
    expect(await rr('rr-history-push')).toBe('\n');
    await ask('vCont;s:64');
  }
  await rr('rr-history-push');
  const places: number[] = [];
  for (const name of ['back', 'back', 'back', 'forward', 'back', 'back']) {
    expect(await rr(name)).toMatch(/^After frame \d/);
    places.push(target.at);
    // gdb is notified when it next runs.
    expect(await ask('vCont;s:64')).toMatch(/^T00/);
  }
  expect(places).toEqual([3, 2, 1, 2, 1, 0]);
  expect(await rr('back')).toBe("Can't go back. No more history entries.\n");
});

it('ends a diversion that a call began', async () => {
  const { ask, rr, session, target } = start();
  await rr('rr-history-push');
  await ask('vCont;s:64');
  await rr('rr-history-push');
  await ask('P0=0700000000000000');
  expect(session.diversion).not.toBeNull();
  expect(await rr('back')).toMatch(/^After frame 0/);
  expect(session.diversion).toBeNull();
  expect(target.at).toBe(0);
});

it('discards places ahead once the program runs, and places too far back', async () => {
  const { ask, rr, target } = start();
  await rr('rr-history-push');
  await ask('vCont;s:64');
  await rr('rr-history-push');
  await rr('back');
  await ask('vCont;s:64');
  await ask('vCont;s:64');
  await rr('rr-history-push');
  expect(await rr('forward')).toBe("Can't go forward. No more history entries.\n");
  for (let times = 0; times < 100; times++) await rr('rr-history-push');
  let steps = 0;
  while (!(await rr('back')).startsWith("Can't")) steps++;
  expect(steps).toBe(31);
  expect(target.at).toBe(1);
});

it('does not remember places of diversions', async () => {
  const { ask, rr } = start();
  await rr('rr-history-push');
  await ask('qRcmd,' + Buffer.from('diversion start').toString('hex'));
  await rr('rr-history-push');
  expect(await rr('back')).toBe('a diversion is open: end it first\n');
  await ask('qRcmd,' + Buffer.from('diversion end').toString('hex'));
  expect(await rr('back')).toBe("Can't go back. No more history entries.\n");
});

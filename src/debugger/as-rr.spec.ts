/** Exits, calls and names as rr reports them, for scripts that were written for it. */
import { describe, expect, it } from 'vitest';
import { fakeSession, type FakeSession, type Instruction } from '../../test/debugger/fake-target.js';
import { handlePacket } from './requests/dispatch.js';

const END: Instruction = {
  tid: 100,
  rip: 0x400008,
  stop: { kind: 'exited', tid: 100, pid: 100, status: 7 << 8 },
};
const program: readonly Instruction[] = [{ tid: 100, rip: 0x400000 }, { tid: 100, rip: 0x400004 }, END];

async function start(asRr = true): Promise<FakeSession & { ask(body: string): Promise<string> }> {
  const fake = fakeSession(program, asRr);
  const ask = (body: string): Promise<string> => handlePacket(fake.session, body);
  await ask('qSupported:multiprocess+;swbreak+');
  return { ...fake, ask };
}

const RUN_TO_FRAME = `vRun;;${Buffer.from('1').toString('hex')}`;

describe('the end of a process', () => {
  it('is a signal that was not recorded, and then an exit, after which no thread exists', async () => {
    const { ask } = await start();
    expect(await ask('vCont;c')).toMatch(/^T09thread:p64\.64;/);
    expect(await ask('qfThreadInfo')).toBe('mp64.64,p64.65');
    expect(await ask('vCont;C09')).toBe('W00;process:64');
    expect(await ask('qfThreadInfo')).toBe('m');
    expect(await ask(`qRRCmd:checkpoint:-1`)).toBe(
      Buffer.from('The program is not being run.\n').toString('hex'),
    );
  });

  it('is left backwards, and by running again', async () => {
    const { ask, target } = await start();
    await ask('vCont;c');
    await ask('Z0,400004,1');
    expect(await ask('bc')).toMatch(/^T05swbreak:;/);
    await ask('vCont;c');
    await ask('vCont;c');
    expect(await ask(RUN_TO_FRAME)).toMatch(/^T00thread:p64\.64;/);
    expect(await ask('vCont;c')).toMatch(/^T00thread:p64\.64;/);
    expect(target.at).toBe(1);
    expect(await ask('qfThreadInfo')).toBe('mp64.64,p64.65');
  });

  it('is the end of history else', async () => {
    const { ask } = await start(false);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
    expect(await ask('vCont;c')).toMatch(/^T05replaylog:end;/);
  });
});

describe('a call that ends its process', () => {
  const call = async (asRr: boolean): Promise<Awaited<ReturnType<typeof start>> & { reply: string }> => {
    const session = await start(asRr);
    // What gdb prepares: a stack with the address of its breakpoint, another rip.
    session.target.memory.set([8, 0, 0x40]);
    await session.ask('Z0,400008,1');
    await session.ask('P7=0010000000000000');
    await session.ask('P0=0700000000000000');
    await session.ask('P10=0200400000000000');
    return { ...session, reply: await session.ask('vCont;c') };
  };

  it('does not move the replay', async () => {
    const { ask, reply, diversions, said } = await call(false);
    expect(reply).toMatch(/^T00thread:p64\.64;.*10:0000400000000000;/);
    expect(diversions[0].closed).toBe(true);
    expect(said()).toMatch(/process 100 exited with code 07; back in the replay, as it was/);
    expect(await ask('p0')).toBe('6400000000000000');
  });

  it('is an exited process, as in rr, and exists again at its breakpoints', async () => {
    const { ask, reply } = await call(true);
    expect(reply).toBe('X09;process:64');
    expect(await ask('qfThreadInfo')).toBe('mp64.64,p64.65');
    await ask('Z0,400000,1');
    expect(await ask('vCont;s:p64.64')).toMatch(/^T05swbreak:;.*10:0000400000000000;/);
    expect(await ask('vCont;s:p64.64')).toMatch(/^T05thread:.*10:0400400000000000;/);
  });
});

it('a process goes no farther than to right before it executes another program', async () => {
  const exec: Instruction = { tid: 100, rip: 0x500000, stop: { kind: 'exec', tid: 100, path: '/bin/fake' } };
  const session = (asRr: boolean): FakeSession => fakeSession([...program.slice(0, 2), exec, END], asRr);
  const { session: asRr, said, target } = session(true);
  await handlePacket(asRr, 'qSupported:multiprocess+;swbreak+;exec-events+');
  for (const action of ['c', 's:p64.64', 'c']) {
    expect(await handlePacket(asRr, `vCont;${action}`)).toMatch(/^T00thread:p64\.64;/);
    expect(target.at).toBe(1);
  }
  expect(said()).toMatch(/another program is executed here; to debug it: run 2\]/);
  expect(await handlePacket(asRr, 'bc')).toMatch(/^T05replaylog:begin;/);
  const { session: usual } = session(false);
  await handlePacket(usual, 'qSupported:multiprocess+;swbreak+;exec-events+');
  expect(await handlePacket(usual, 'vCont;c')).toMatch(/^T05exec:/);
});

it('names of threads are shown by gdb in parentheses, and Ctrl-C is not a signal', async () => {
  const { ask, session, target } = await start();
  expect(await ask('qXfer:threads:read::0,1000')).toContain('<thread id="p64.65">worker</thread>');
  target.endless = true;
  const running = ask('vCont;c');
  session.interruptRequested = true;
  expect(await running).toMatch(/^T00thread:/);
});

it('a restart from a checkpoint that was deleted is said to have failed', async () => {
  const restart = `qRRCmd:restart:-1:${Buffer.from('7').toString('hex')}`;
  const said = async (asRr: boolean): Promise<string> =>
    Buffer.from(await (await start(asRr)).ask(restart), 'hex').toString();
  expect(await said(true)).toBe('Checkpoint 7 not found.\nValid checkpoints:\nThe restart failed.\n');
  expect(await said(false)).toBe('Checkpoint 7 not found.\nValid checkpoints:\n');
});

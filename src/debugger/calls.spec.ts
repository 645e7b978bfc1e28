/** A client's changes in a diversion: for its own call, or for the user. */
import { describe, expect, it } from 'vitest';
import { Reg, setRegister } from '../engine/base/registers.js';
import { fakeSession, type FakeSession, type Instruction } from '../../test/debugger/fake-target.js';
import { handlePacket } from './requests/dispatch.js';

const line: readonly Instruction[] = [0, 2, 4, 6, 8].map((offset) => ({ tid: 100, rip: 0x400000 + offset }));

type Ask = (body: string) => Promise<string>;

async function start(): Promise<FakeSession & { ask: Ask }> {
  const fake = fakeSession(line);
  const ask: Ask = (body) => handlePacket(fake.session, body);
  await ask('qSupported:multiprocess+;swbreak+');
  return { ...fake, ask };
}

const monitor = (text: string): string => `qRcmd,${Buffer.from(text).toString('hex')}`;

describe('diversions', () => {
  it('are kept with the changes of the user, which is reported once, and discarded when running backwards', async () => {
    const { ask, diversions, said } = await start();
    await ask('M1000,2:abcd');
    await ask('vCont;s:p64.64');
    await ask('vCont;s:p64.64');
    expect(said()).toBe(
      '[diversion: the program continues with the changes; back to the replay with: monitor diversion end]\n',
    );
    expect(await ask('m1000,2')).toBe('abcd');
    expect(await ask('bs')).toMatch(/^T00/);
    expect(said()).toMatch(/no history/);
    await ask(monitor('diversion end'));
    await ask('vCont;s:p64.64');
    await ask('P0=ff00000000000000');
    await ask('bs');
    expect(said()).toMatch(/changes are discarded, the replay goes back/);
    expect(diversions.map(({ closed }) => closed)).toEqual([true, true]);
  });

  it('end when the registers are restored, in any order', async () => {
    const { ask, diversions } = await start();
    await ask('P7=0000000000000000');
    await ask('P0=ff00000000000000');
    await ask('P39=ffffffffffffffff');
    await ask('P0=6400000000000000');
    await ask('P7=78563412fc7f0000');
    await ask('P39=0000000000000000');
    await ask('vCont;s:p64.64');
    expect(diversions[0].closed).toBe(true);
  });

  it('end, too, if they began after a system call that the replay is inside of', async () => {
    const { ask, diversions, target } = await start();
    target.completed = target.registers(100);
    setRegister(target.completed, Reg.rax, 101n);
    await ask('P7=0000000000000000');
    await ask('P0=ff00000000000000');
    await ask('P0=6400000000000000');
    await ask('P7=78563412fc7f0000');
    expect(diversions[0].registers(100)).toEqual(target.completed);
    await ask('vCont;s:p64.64');
    expect(diversions[0].closed).toBe(true);
  });
});

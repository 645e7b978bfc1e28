import { spawn } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import process from 'node:process';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Control } from '../../src/engine/kvm/control.js';
import { Exit } from '../../src/engine/kvm/exit.js';
import { Command, Ring0 } from '../../src/engine/kvm/layout.js';
import { CODE, DATA, ProbeGuest } from '../../src/engine/kvm/probe-guest.js';
import { programs } from '../../src/engine/kvm/probe-programs.js';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import { acquireEmulated } from '../../src/machine/emulated.js';
import { usersText } from '../../src/machine/holders.js';
import { keeperProgram } from '../../src/machine/installation.js';
import {
  machineStatus,
  namePrefix,
  stopIdleMachines,
  stopMachines,
} from '../../src/machine/keeper-client.js';
import { makeMachine } from '../kvm/guest.js';
import { isDead, isListening, mine, options, otherClient, stopMine, until } from './fixtures.js';

/** One machine for the whole file, but where a test ends it. */
let starts = 0;
const acquire = (more = {}): Promise<VcpuTransport> =>
  acquireEmulated({ ...options, ...more, onStarting: () => ++starts });

const isZero = (transport: VcpuTransport): boolean =>
  new Uint8Array(transport.pool, Ring0.end, 0x100000).every((byte) => byte === 0);

beforeAll(stopMine);
afterAll(stopMine);

describe('a kept machine', () => {
  it('is started once, leased, released and leased again, clean', async () => {
    const first = await acquire();
    expect(starts).toBe(1);
    const [{ pid, qemuPid }] = mine();
    expect(mine()).toMatchObject([{ state: 'leased', client: process.pid, poolBytes: 128 << 20 }]);
    new Uint8Array(first.pool, Ring0.end, 0x100000).fill(0xcc);
    first.close();
    expect(first.pool.byteLength).toBe(0);

    const second = await acquire();
    expect(starts).toBe(1);
    expect(mine()).toMatchObject([{ state: 'leased', pid, qemuPid }]);
    expect(isZero(second)).toBe(true);
    expect(new Control(second).execute(Command.ping)).toBe(0);
    second.close();
    await until(() => mine()[0].state === 'idle');
  });

  it('is leased in a fraction of the time that its start took, and answers without being leased again', async () => {
    stopMine();
    starts = 0;
    const timed = async (): Promise<number> => {
      const begun = performance.now();
      const transport = await acquire();
      const taken = performance.now() - begun;
      const control = new Control(transport);
      for (let k = 0; k < 100; ++k) expect(control.execute(Command.ping)).toBe(0);
      transport.close();
      await until(() => mine()[0].state === 'idle');
      return taken;
    };
    const start = await timed();
    const leases: number[] = [];
    for (let i = 0; i < 5; ++i) leases.push(await timed());
    expect(starts).toBe(1);
    // Both in one run: some 200 ms against some 5 ms, on an idle computer and on a busy one.
    expect(Math.min(...leases)).toBeLessThan(start / 4);
  });

  it('has a vCPU for one client at a time: the next gets another machine', async () => {
    const first = await acquire();
    const second = await acquire();
    expect(mine().map(({ state }) => state)).toEqual(['leased', 'leased']);
    first.close();
    second.close();
    await until(() => mine().every(({ state }) => state === 'idle'));
    expect(stopMine()).toBe(2);
    starts = 0;
  });
});

describe('nothing is left', () => {
  it('when a client is killed: the lease ends, the memory is zero', async () => {
    (await acquire()).close();
    const [{ name, pid }] = mine();
    const client = await otherClient(name);
    expect(mine()).toMatchObject([{ state: 'leased', client: client.pid }]);
    client.kill('SIGKILL');
    await until(() => mine()[0].state === 'idle');
    const transport = await acquire();
    expect(mine()).toMatchObject([{ pid, client: process.pid }]);
    expect(isZero(transport)).toBe(true);
    transport.close();
  });

  it('when a client leaves while the guest runs: the guest is interrupted', async () => {
    const transport = await acquire();
    const machine = makeMachine(transport);
    const guest = new ProbeGuest(machine);
    expect(guest.run(programs.endless).exit).toBe(Exit.Interrupted);
    expect(machine.run(1000)).toBe(Exit.Pending);
    transport.close();
    await until(() => mine()[0].state === 'idle');
    const next = await acquire();
    expect(isZero(next)).toBe(true);
    next.close();
  });

  it('when a client leaves while debug registers are armed: the next guest has its own', async () => {
    await until(() => mine().every(({ state }) => state === 'idle'));
    const kinds = ['data', 'code', 'data', 'code'];
    const pids = new Set<number>();
    for (const kind of kinds) {
      const transport = await acquire();
      pids.add(mine()[0].qemuPid);
      const machine = makeMachine(transport);
      const guest = new ProbeGuest(machine);
      for (const index of [0, 1, 2, 3] as const) {
        if (kind === 'code') machine.context.setBreakpoint(index, CODE);
        else machine.context.setDataBreakpoint(index, DATA, 8, true);
      }
      const program = kind === 'code' ? programs.nops : programs.load;
      const { vector, dr6 } = guest.run(program, { rdi: BigInt(DATA) });
      expect({ vector, isHit: (dr6 & 0xf) !== 0 }).toEqual({ vector: 1, isHit: true });
      transport.close();
      await until(() => mine()[0].state === 'idle');
    }
    expect(pids.size).toBe(1);
  });

  it('when the keeper is killed: the emulator dies, the client gets an error', async () => {
    const transport = await acquire();
    const [{ name, pid, qemuPid }] = mine();
    process.kill(pid, 'SIGKILL');
    await until(() => isDead(qemuPid));
    expect(isListening(name)).toBe(false);
    const control = new Control(transport);
    expect(() => control.execute(Command.ping)).toThrow(expect.objectContaining({ code: 'E_MACHINE_LOST' }));
    transport.close();
    expect(mine()).toEqual([]);
  });

  it('when the emulator is killed: the keeper ends, the client gets an error', async () => {
    const transport = await acquire();
    const [{ name, pid, qemuPid }] = mine();
    process.kill(qemuPid, 'SIGKILL');
    await until(() => isDead(pid));
    expect(isListening(name)).toBe(false);
    const control = new Control(transport);
    expect(() => control.execute(Command.ping)).toThrow(expect.objectContaining({ code: 'E_MACHINE_LOST' }));
    transport.close();
  });

  it('when it is stopped, also under a client', async () => {
    const transport = await acquire();
    const [{ name, pid, qemuPid }] = mine();
    expect(stopMine()).toBe(1);
    expect(isDead(qemuPid)).toBe(true);
    await until(() => isDead(pid));
    expect(isListening(name)).toBe(false);
    transport.close();
  });

  it('is stopped only if unused, on request', async () => {
    const transport = await acquire();
    const names = mine().map(({ name }) => name);
    const refused = stopIdleMachines(names);
    expect(refused).toMatchObject({ stopped: 0, used: [{ state: 'leased', client: process.pid }] });
    expect(usersText(refused.used)).toContain(`1 in use by pid ${process.pid} (`);
    expect(new Control(transport).execute(Command.ping)).toBe(0);
    transport.close();
    await until(() => mine().every(({ state }) => state === 'idle'));
    expect(stopIdleMachines(names)).toEqual({ stopped: 1, used: [] });
    expect(mine()).toEqual([]);
  });

  it('starts while as many others start as there are processors: later, and says so', async () => {
    // Others, whose emulators never get ready.
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'emulator-'));
    const emulator = path.join(folder, 'emulator');
    fs.writeFileSync(emulator, '#!/bin/sh\nexec sleep 600\n', { mode: 0o755 });
    const others = Array.from({ length: os.availableParallelism() }, (_, index) => {
      const name = `${namePrefix()}slow${process.pid}-${index}`;
      const args = [
        '--name',
        name,
        '--qemu',
        emulator,
        '--image',
        emulator,
        '--cpu',
        'none',
        '--pool-mib',
        '64',
      ];
      spawn(keeperProgram(), args, { stdio: ['ignore', 'pipe', 'ignore'] });
      return name;
    });
    const starting = (): boolean =>
      machineStatus().filter(({ name, state }) => others.includes(name) && state === 'starting').length ===
      others.length;
    await until(starting);
    const said: string[] = [];
    const waiting = acquireEmulated({ ...options, onStarting: (text) => said.push(text) });
    await until(() => said.some((text) => /^waiting for a machine: .*being started/.test(text)));
    expect(mine()).toMatchObject([{ state: 'queued' }]);
    expect(stopMachines(others)).toBe(others.length);
    (await waiting).close();
    fs.rmSync(folder, { recursive: true });
    await until(() => mine().every(({ state }) => state === 'idle'));
    expect(stopMine()).toBe(1);
  });

  it('starts eight at once, each of which works', async () => {
    const count = 8;
    const transports = await Promise.all(Array.from({ length: count }, () => acquire()));
    expect(mine().map(({ state }) => state)).toEqual(Array<string>(count).fill('leased'));
    for (const transport of transports) expect(new Control(transport).execute(Command.ping)).toBe(0);
    for (const transport of transports) transport.close();
    await until(() => mine().every(({ state }) => state === 'idle'));
    expect(stopMine()).toBe(count);
  });

  it('when it is unused for a while', async () => {
    (await acquire({ idleSeconds: 1 })).close();
    const [{ name, pid, qemuPid }] = mine();
    await until(() => isDead(pid) && isDead(qemuPid), 20);
    expect(isListening(name)).toBe(false);
  });
});

describe('a machine that cannot start', () => {
  it('says what its emulator said', async () => {
    await expect(acquire({ cpu: 'NoSuchModel' })).rejects.toMatchObject({
      code: 'E_MACHINE_START',
      message: expect.stringContaining('unable to find CPU model'),
      hint: expect.stringContaining('-cpu help'),
    });
    await expect(acquire({ cpu: 'EPYC-Rome,-pdpe1gb' })).rejects.toMatchObject({
      code: 'E_MACHINE_START',
      hint: expect.stringContaining('+pdpe1gb'),
    });
  });
});

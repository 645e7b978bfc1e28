/** Moments between frames have names, which lead to them from anywhere and in any replay. */
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import type { VcpuTransport } from '../../src/engine/kvm/transport.js';
import type { Moment } from '../../src/engine/target.js';
import type { TravelTarget } from '../../src/engine/travel/target.js';
import { MACHINE, acquireMachine } from '../machines.js';
import { runCli } from '../cli/run-cli.js';
import { goTo, open, run, runUntil, sample, symbol, wait } from './open.js';

let transport: VcpuTransport;
beforeAll(async () => {
  transport = await acquireMachine();
});
afterAll(() => transport.close());
/** The runner reports in between: a test leaves it no turn. */
afterEach(() => new Promise((resolve) => setImmediate(resolve)));

const placeOf = (target: TravelTarget): string =>
  `${target.memoryDigest(target.currentTid)} ${target.registers(target.currentTid).join()}`;

function momentOf(target: TravelTarget): Moment {
  const place = placeOf(target);
  target.beginMoment();
  wait(target);
  expect(placeOf(target)).toBe(place);
  return target.moment!;
}

function inSession<T>(folder: string, use: (target: TravelTarget) => T, options = {}): T {
  const { target, close } = open(transport, folder, options);
  try {
    return use(target);
  } finally {
    close();
  }
}

interface Found {
  readonly moment: Moment;
  readonly place: string;
}

/** At three stops, and some instructions after each. */
function visit(target: TravelTarget, from: number, names: readonly string[]): Found[] {
  goTo(target, from);
  for (const name of names) target.addBreakpoint({ pid: null, address: symbol(target, name) });
  const found: Found[] = [];
  for (let stops = 0; stops < 3; stops++) {
    const all = runUntil(target, ['breakpoint', 'history-end']);
    expect(all[all.length - 1].kind).toBe('breakpoint');
    for (let steps = 0; steps < 3; steps++) {
      found.push({ moment: momentOf(target), place: placeOf(target) });
      for (let more = 0; more < 4; more++) run(target, 'step');
    }
  }
  return found;
}

function arrive(target: TravelTarget, { frameTime, address, hit }: Moment): void {
  if (address === null) goTo(target, frameTime);
  else {
    target.beginGotoArrival(frameTime, [address], hit);
    wait(target);
  }
}

describe.each([
  { folder: sample('zen2/spawn'), from: 120, names: ['fork', 'waitpid', 'read', 'write', '_exit'] },
  { folder: sample('zen2/race'), from: 100, names: ['run', 'write'] },
  { folder: sample('skylake-pku/tree'), from: 60, names: ['insert'] },
])('moments of $folder', ({ folder, from, names }) => {
  it('are found again, in another session, too', () => {
    const found = inSession(folder, (target) => {
      const visited = visit(target, from, names);
      for (const { moment, place } of visited.toReversed()) {
        arrive(target, moment);
        expect(placeOf(target)).toBe(place);
        expect(momentOf(target)).toEqual(moment);
      }
      return visited;
    });
    inSession(folder, (target) => {
      for (const index of [7, 2, 8]) {
        arrive(target, found[index].moment);
        expect(placeOf(target)).toBe(found[index].place);
      }
    });
  });

  it('that do not exist are refused, and the program does not move', () => {
    inSession(folder, (target) => {
      goTo(target, from);
      const place = placeOf(target);
      const address = symbol(target, names[0]);
      const go = (): unknown => {
        arrive(target, { frameTime: from, address, hit: 100_000 });
        return target.frameTime;
      };
      expect(go).toThrow(/the place is reached .* in this recording, not 100000/);
      expect(target.frameTime).toBe(from);
      expect(placeOf(target)).toBe(place);
    });
  });
});

it('the command goes to moments, to ticks and to functions that are chosen at run time', async () => {
  const folder = sample('skylake-pku/tree');
  const moment = inSession(folder, (target) => visit(target, 60, ['insert'])[4]);
  const { frameTime, address, hit } = moment.moment;
  transport.close(); // the command needs the machine
  const where = async (place: string): Promise<string> => {
    const { stdout, stderr } = await runCli(
      'replay',
      folder,
      '--goto',
      place,
      '--machine',
      MACHINE,
      '--quiet',
    );
    return stdout.slice(stdout.indexOf('after frame')) + stderr;
  };
  try {
    expect(await where(`${frameTime}:0x${address!.toString(16)}:${hit}`)).toContain(
      `rip 0x${address!.toString(16).padStart(12, '0')}`,
    );
    expect(await where('100:21500')).toMatch(/^after frame 100: task 268/);
    expect(await where('100:1')).toMatch(/does not reach 1 ticks: it has 21488 to 21570, until frame 101/);
    // Not in the resolver, which is called while the program is loaded.
    expect(await where('strlen')).toMatch(/^after frame 1\d\d: /);
  } finally {
    transport = await acquireMachine();
  }
});

/** Sessions whose machine is lost: what they say is what they would have said, for recordings can always be replayed again. */
import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { Client } from '../client.js';
import { describeMachines } from '../../kvm/guest.js';
import { debug, type Recording, sample, serveRecording } from './recording.js';

/** A unique configuration, which differs by its spelling, so that no other machine is used. */
const cpu = 'EPYC-Rome,+avx,+pku,+pdpe1gb';
const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'lost-'));
afterAll(() => fs.rmSync(folder, { recursive: true }));

/** Files of /proc, and the pattern of those that belong to machines of that configuration, or to processes that this one uses. */
const VICTIMS = {
  emulated: ['cmdline', `*qemu-system*'-cpu ${cpu} '*`],
  process: ['stat', `*' (revenant-sandbo) '?' ${process.pid} '*`],
} as const;

const NOTES = /^\[(?:The machine .*|starting the emulated machine .*|waiting for a machine: .*)\]\n/gm;
const LOST = / was lost\. Continuing on another machine, from frame \d+\]/g;

describeMachines(specsOf);

function specsOf(kind: 'emulated' | 'process'): void {
  /** Kills them, from within gdb. */
  const killer = path.join(folder, `kill-${kind}.sh`);
  const [file, pattern] = VICTIMS[kind];
  fs.writeFileSync(
    killer,
    `for file in /proc/[0-9]*/${file}; do
  case "$(cat "$file" 2>/dev/null | tr '\\0' ' ')" in
    ${pattern}) pid=\${file#/proc/}; kill -9 "\${pid%/${file}}";;
  esac
done
`,
  );
  const KILL = `shell sh ${killer}`;

  async function withRecording<T>(ask: (recording: Recording) => Promise<T>): Promise<T> {
    const recording = await serveRecording(sample('skylake-pku/tree'), kind === 'emulated' ? { cpu } : {});
    try {
      const answer = await ask(recording);
      expect(recording.failures).toEqual([]);
      return answer;
    } finally {
      await recording.close();
    }
  }

  /** What gdb says when machines are killed (`KILL`), and when they are not. */
  async function bothWays(commands: readonly string[]): Promise<{ said: string; usually: string }> {
    const each = commands.flatMap((command) =>
      command === KILL ? [command] : [command, 'info registers rip rsp rdi eflags'],
    );
    const usually = await withRecording((recording) =>
      debug(
        recording,
        each.filter((command) => command !== KILL),
      ),
    );
    const { text } = await withRecording((recording) => debug(recording, each));
    const kills = commands.filter((command) => command === KILL).length;
    expect(text.match(LOST), text).toHaveLength(kills);
    return { said: text.replace(NOTES, ''), usually: usually.text };
  }

  describe('a session whose machine is killed', () => {
    it('continues from where it was, forwards, in steps and backwards', async () => {
      const { said, usually } = await bothWays([
        'break insert',
        'continue',
        'stepi',
        'stepi',
        'watch *(long *)&root',
        KILL,
        'continue',
        'reverse-stepi',
        'delete',
        'break insert',
        'continue',
        KILL,
        'reverse-continue',
      ]);
      expect(said).toBe(usually);
    });

    it('keeps checkpoints, visited places, and goes to places', async () => {
      const { said, usually } = await bothWays([
        'break insert',
        'continue',
        KILL,
        'checkpoint',
        'continue',
        'goto insert:10',
        'restart 1',
        KILL,
        'back',
        'when-ticks',
        'info checkpoints',
        'run',
      ]);
      expect(said).toBe(usually);
    });

    it('loses a diversion, reports it, and is back in the replay', async () => {
      await withRecording(async ({ endpoint }) => {
        const client = await Client.connect(endpoint);
        const before = await client.ask('g');
        await client.monitor('diversion start');
        expect(await client.ask(`P0=${'5a'.repeat(8)}`)).toBe('OK');
        expect(await client.ask('g')).not.toBe(before);
        execFileSync('sh', [killer]);
        client.console = '';
        expect(await client.ask('vCont;s')).toMatch(/^T00/);
        expect(client.console).toContain('[diversion: lost with its machine; back in the replay]\n');
        expect(await client.ask('g')).toBe(before);
        expect(await client.monitor('diversion status')).toBe('In the replay.\n');
        client.close();
      });
    });
  });
}

/**
 * The process machine where the kernel, or a container's filter, refuses a system call that its start or its work needs: it
 * does without, or is refused by name, and another machine is used. Never less safety, no hang, no process left.
 */
import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { describe, expect, it } from 'vitest';
import { nativeFolder } from '../../src/engine/base/native-folder.js';
import { sample } from '../collections.js';
import { emulatedProblem, processProblem } from '../machines.js';

const root = path.resolve(import.meta.dirname, '../..');
/** test/native/refuse_call.cc. */
const REFUSE = path.join(nativeFolder(), 'refuse-call');
const HELLO = sample('zen2/hello-static');
const { EPERM, ENOSYS, EACCES } = os.constants.errno;
const MACHINE_EXIT = 4;
const TIMEOUT_MS = 120_000;

interface Refused {
  readonly name: string;
  readonly number: number;
  /** As `refuse-call` has it; default: every such call. */
  readonly condition?: string;
  /** What the message says the machine fails at; undefined: the replay does without. */
  readonly at?: RegExp;
}

const CALLS: readonly Refused[] = [
  { name: 'memfd_create', number: 319, at: /its memory \(memfd_create/ },
  { name: 'ftruncate', number: 77, at: /its memory \(memfd_create/ },
  { name: 'fcntl(F_ADD_SEALS)', number: 72, condition: '1=1033', at: /its memory \(memfd_create/ },
  { name: 'fcntl(F_DUPFD_CLOEXEC)', number: 72, condition: '1=1030', at: /starting it/ },
  { name: 'clone(CLONE_VFORK)', number: 56, condition: '0&0x4000', at: /starting it/ },
  { name: 'clone(CLONE_NEWUSER)', number: 56, condition: '0&0x10000000' },
  { name: 'prctl(PR_SET_PDEATHSIG)', number: 157, condition: '0=1', at: /starting it/ },
  { name: 'setsid', number: 112, at: /starting it/ },
  { name: 'execveat', number: 322, at: /starting it/ },
  { name: 'kill', number: 62, at: /starting it/ },
  { name: 'mount', number: 165 },
  { name: 'chroot', number: 161 },
  { name: 'close_range', number: 436, at: /closing descriptors/ },
  { name: 'prctl(PR_SET_NAME)', number: 157, condition: '0=15' },
  { name: 'prlimit64', number: 302, at: /forbidding core dumps/ },
  { name: 'mmap(MAP_FIXED_NOREPLACE)', number: 9, condition: '3&0x100000', at: /its own place/ },
  { name: 'sigaltstack', number: 131, at: /its signal stack/ },
  { name: 'prctl(PR_SET_SYSCALL_USER_DISPATCH)', number: 157, condition: '0=59' },
  { name: 'prctl(PR_SET_NO_NEW_PRIVS)', number: 157, condition: '0=38', at: /PR_SET_NO_NEW_PRIVS/ },
  { name: 'capset', number: 126, at: /dropping capabilities/ },
  { name: 'seccomp', number: 317, at: /its filter of system calls/ },
  { name: 'prctl(PR_SET_TSC)', number: 157, condition: '0=26', at: /RDTSC cannot return/ },
  { name: 'arch_prctl(ARCH_SET_CPUID)', number: 158, condition: '0=0x1012' },
  { name: 'arch_prctl(ARCH_GET_XCOMP_SUPP)', number: 158, condition: '0=0x1021' },
  { name: 'arch_prctl(ARCH_REQ_XCOMP_PERM)', number: 158, condition: '0=0x1023' },
  { name: 'perf_event_open', number: 298 },
  { name: 'ptrace', number: 101 },
];

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function replay(machine: string, command: readonly string[] = []): Ended {
  const words = [...command, process.execPath, 'bin/revenant', 'replay', HELLO, '--machine', machine];
  const [program, ...rest] = words;
  const { status, stdout, stderr } = spawnSync(program, rest, {
    cwd: root,
    encoding: 'latin1',
    timeout: TIMEOUT_MS,
  });
  return { status, stdout, stderr };
}

const refuse = ({ number, condition = '-' }: Refused, errno: number): string[] => [
  REFUSE,
  String(number),
  condition,
  String(errno),
];

const problem = processProblem ?? (fs.existsSync(REFUSE) ? null : `${REFUSE} was not built`);

describe.skipIf(problem !== null)(`the process machine (skipped: ${problem})`, () => {
  const { stdout: output } = replay('process');

  describe.each([
    ['EPERM', EPERM],
    ['ENOSYS', ENOSYS],
    ['EACCES', EACCES],
  ])('where the kernel answers %s to', (_errno, errno) => {
    it.each(CALLS)('$name', (call) => {
      const { status, stdout, stderr } = replay('process', refuse(call, errno));
      if (call.at === undefined) {
        expect([status, stdout], stderr).toEqual([0, output]);
        expect(stderr).toMatch(/machine: a process/);
      } else {
        expect([status, stdout], stderr).toEqual([MACHINE_EXIT, '']);
        expect(stderr).toMatch(call.at);
        expect(stderr).toMatch(/Use --machine emulated/);
      }
    });
  });

  it('says that it is without namespaces where they are refused', () => {
    const call = CALLS.find(({ name }) => name === 'clone(CLONE_NEWUSER)')!;
    expect(replay('process', refuse(call, EPERM)).stderr).toMatch(/machine: a process, without namespaces/);
  });

  it('is refused where neither means for debug registers is left', () => {
    const [perf, ptrace] = ['perf_event_open', 'ptrace'].map((means) =>
      refuse(
        CALLS.find(({ name }) => name === means)!,
        EPERM,
      ),
    );
    const { status, stderr } = replay('process', [...perf, ...ptrace]);
    expect([status, stderr]).toEqual([
      MACHINE_EXIT,
      expect.stringMatching(/debug registers \(perf_event_open/),
    ]);
  });

  it.skipIf(emulatedProblem !== null)('leaves the recording to another machine', () => {
    const call = CALLS.find(({ name }) => name === 'seccomp')!;
    const { status, stdout, stderr } = replay('auto', refuse(call, EPERM));
    expect([status, stdout], stderr).toEqual([0, output]);
    expect(stderr).toMatch(/machine: QEMU emulator/);
  });
});

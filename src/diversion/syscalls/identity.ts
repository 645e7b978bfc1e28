import { gva } from '../../engine/base/address.js';
import { ArchPrctl, PR_SET_NAME } from '../../engine/base/linux.js';
import { Reg, getRegister, setRegister } from '../../engine/base/registers.js';
import { E, fail } from '../base/errno.js';
import type { Process } from '../kernel/process.js';
import type { Call, Handlers } from './dispatch.js';
import { nameBytes, nameOf } from '../../engine/base/names.js';

const UTSNAME_FIELD = 65;
const NAME_BYTES = 16;
const PR_GET_NAME = 16;
const PR_GET_DUMPABLE = 3;
const PR_SET_VMA = 0x53_56_4d_41;
const PR_QUIET: readonly number[] = [1, 4, 8, 36, 38, 41, PR_SET_VMA];
const ArchGet = { fs: 0x1003, gs: 0x1004 } as const;
/** Of state that programs have to ask for (arch/x86/kernel/fpu/xstate.c): tiles, the number of whose data is the last. */
const ArchState = { supported: 0x1021, permitted: 0x1022, request: 0x1023 } as const;
const TILE_DATA = 18;
const RLIMIT_STACK = 3;
const RLIMIT_NOFILE = 7;
const RLIMITS = 16;
const INFINITE = 0xffff_ffff_ffff_ffffn;
const SYSINFO_BYTES = 112;
const MIB = 2n ** 20n;
/** A yielding thread waits for a short turn of others. */
const YIELD_NANOS = 50_000n;
/** A call may return less than requested. */
const MAX_RANDOM = 1 << 20;

function uname(call: Call): number {
  const { facts } = call.kernel;
  const fields = ['Linux', facts.nodeName, facts.release, '#1 SMP', 'x86_64', '(none)'];
  const bytes = new Uint8Array(UTSNAME_FIELD * fields.length);
  fields.forEach((text, index) =>
    bytes.set(Buffer.from(text).subarray(0, UTSNAME_FIELD - 1), index * UTSNAME_FIELD),
  );
  call.memory.write(call.args[0], bytes);
  return 0;
}

function prctl(call: Call): number {
  const [option, argument] = call.args;
  const { task } = call.thread;
  switch (option) {
    case PR_SET_NAME:
      task.name = nameOf(nameBytes(call.memory.string(argument, NAME_BYTES)).subarray(0, NAME_BYTES - 1));
      return 0;
    case PR_GET_NAME: {
      const bytes = new Uint8Array(NAME_BYTES);
      bytes.set(nameBytes(task.name).subarray(0, NAME_BYTES - 1));
      call.memory.write(argument, bytes);
      return 0;
    }
    case PR_GET_DUMPABLE:
      return 1;
    default:
      return PR_QUIET.includes(option) ? 0 : fail(E.EINVAL);
  }
}

function archPrctl(call: Call): number {
  const [option, argument] = call.args;
  const { core } = call.kernel;
  const { task } = call.thread;
  const registers = core.registers(task);
  switch (option) {
    case ArchPrctl.setFs:
    case ArchPrctl.setGs:
      if (argument < 0) fail(E.EPERM);
      setRegister(registers, option === ArchPrctl.setFs ? Reg.fs_base : Reg.gs_base, BigInt(argument));
      core.basesChanged(task);
      return 0;
    case ArchGet.fs:
    case ArchGet.gs:
      call.memory.setU64(argument, getRegister(registers, option === ArchGet.fs ? Reg.fs_base : Reg.gs_base));
      return 0;
    // All that the recorded processor has is permitted from the beginning.
    case ArchState.supported:
    case ArchState.permitted:
      call.memory.setU64(argument, core.machine.config.xcr0);
      return 0;
    case ArchState.request:
      if (argument < 0 || argument > TILE_DATA) fail(E.EINVAL);
      if (argument !== TILE_DATA || !((core.machine.config.xcr0 >> BigInt(TILE_DATA)) & 1n))
        fail(E.EOPNOTSUPP);
      return 0;
    default:
      return fail(E.EINVAL);
  }
}

function limitOf(resource: number): bigint {
  if (resource < 0 || resource >= RLIMITS) fail(E.EINVAL);
  if (resource === RLIMIT_STACK) return 8n * MIB;
  return resource === RLIMIT_NOFILE ? 1024n : INFINITE;
}

function getrlimit(call: Call, resource: number, at: number): number {
  const limit = limitOf(resource);
  if (at !== 0)
    call.memory.setWords(
      at,
      [limit, resource === RLIMIT_STACK ? INFINITE : limit].map((v) => BigInt.asIntN(64, v)),
    );
  return 0;
}

/** What its processor time would be: the time that the diversion runs. */
function getrusage(call: Call): number {
  const elapsed = call.kernel.clock.elapsed / 1000n;
  const words = new Array<bigint>(18).fill(0n);
  [words[0], words[1]] = [elapsed / 1_000_000n, elapsed % 1_000_000n];
  call.memory.setWords(call.args[1], words);
  return 0;
}

function sysinfo(call: Call): number {
  const bytes = new Uint8Array(SYSINFO_BYTES);
  const view = new DataView(bytes.buffer);
  view.setBigInt64(0, call.kernel.clock.monotonic / 1_000_000_000n, true);
  const total = BigInt(call.kernel.policy.limits.memoryBytes);
  view.setBigUint64(32, total, true);
  view.setBigUint64(40, total / 2n, true);
  view.setUint16(80, call.kernel.threads.size, true);
  view.setUint32(104, 1, true);
  call.memory.write(call.args[0], bytes);
  return 0;
}

function processOf(call: Call, pid: number): Process {
  return pid === 0 ? call.thread.process : (call.kernel.processes.get(pid) ?? fail(E.ESRCH));
}

function setpgid(call: Call): number {
  const [pid, group] = call.args;
  const process = processOf(call, pid);
  process.group = group === 0 ? process.pid : group;
  return 0;
}

function setsid(call: Call): number {
  const { process } = call.thread;
  if (process.group === process.pid) fail(E.EPERM);
  process.group = process.session = process.pid;
  return process.pid;
}

function getrandom(call: Call): number {
  const [at, size] = call.args;
  const bytes = new Uint8Array(size < 0 ? MAX_RANDOM : Math.min(size, MAX_RANDOM));
  call.kernel.random(bytes);
  call.memory.write(at, bytes);
  return bytes.length;
}

function affinity(call: Call): number {
  const bytes = new Uint8Array(8);
  bytes[call.kernel.facts.cpu >> 3] |= 1 << (call.kernel.facts.cpu & 7);
  if (call.args[1] < 8) fail(E.EINVAL);
  call.memory.write(call.args[2], bytes);
  return 8;
}

/** As an id in calls that set several: it stays. */
const UNCHANGED = 0xffff_ffff;

/**
 * Changing ids: to what they are already, or not.
 * @param count of ids that the call has
 */
function setIds(count: 1 | 2 | 3, of: (process: Process) => readonly number[]) {
  return (call: Call): number => {
    const known = of(call.thread.process);
    const wanted = call.args.slice(0, count).map((id) => id >>> 0);
    if (count === 1 && wanted[0] === UNCHANGED) fail(E.EINVAL);
    const isAllowed = known.includes(0) || wanted.every((id) => id === UNCHANGED || known.includes(id));
    return isAllowed ? 0 : fail(E.EPERM);
  };
}

const users = ({ credentials }: Process): readonly number[] => [credentials.uid, credentials.euid];
const groups = ({ credentials }: Process): readonly number[] => [credentials.gid, credentials.egid];

function triple(call: Call, real: number, effective: number): number {
  [real, effective, effective].forEach((id, index) => call.memory.setU32(call.args[index], id));
  return 0;
}

export const identityCalls: Handlers = {
  getpid: ({ thread }) => thread.process.pid,
  gettid: ({ thread }) => thread.tid,
  getppid: ({ thread }) => thread.process.parent?.pid ?? 1,
  getuid: ({ thread }) => thread.process.credentials.uid,
  geteuid: ({ thread }) => thread.process.credentials.euid,
  getgid: ({ thread }) => thread.process.credentials.gid,
  getegid: ({ thread }) => thread.process.credentials.egid,
  getresuid: (call) => triple(call, users(call.thread.process)[0], users(call.thread.process)[1]),
  getresgid: (call) => triple(call, groups(call.thread.process)[0], groups(call.thread.process)[1]),
  getgroups: () => 0,
  setuid: setIds(1, users),
  setgid: setIds(1, groups),
  setresuid: setIds(3, users),
  setresgid: setIds(3, groups),
  setreuid: setIds(2, users),
  setregid: setIds(2, groups),
  setgroups: () => fail(E.EPERM),
  getpgrp: ({ thread }) => thread.process.group,
  getpgid: (call) => processOf(call, call.args[0]).group,
  getsid: (call) => processOf(call, call.args[0]).session,
  setpgid,
  setsid,
  uname,
  prctl,
  arch_prctl: archPrctl,
  getrlimit: (call) => getrlimit(call, call.args[0], call.args[1]),
  setrlimit: (call) => (limitOf(call.args[0]), 0),
  prlimit64: (call) => getrlimit(call, call.args[1], call.args[3]),
  getrusage,
  sysinfo,
  getrandom,
  sched_getaffinity: affinity,
  sched_setaffinity: () => 0,
  sched_getparam: (call) => (call.memory.setU32(call.args[1], 0), 0),
  sched_getscheduler: () => 0,
  sched_setscheduler: () => 0,
  sched_setparam: () => 0,
  sched_get_priority_max: (call) => (call.args[0] === 1 || call.args[0] === 2 ? 99 : 0),
  sched_get_priority_min: (call) => (call.args[0] === 1 || call.args[0] === 2 ? 1 : 0),
  sched_yield: ({ kernel }) => {
    kernel.yielded = true;
    kernel.clock.advance(YIELD_NANOS);
    return 0;
  },
  getpriority: () => 20,
  setpriority: () => 0,
  getcpu: (call) => {
    if (call.args[0] !== 0) call.memory.setU32(call.args[0], call.kernel.facts.cpu);
    if (call.args[1] !== 0) call.memory.setU32(call.args[1], 0);
    return 0;
  },
  personality: (call) => (call.args[0] === 0xffff_ffff || call.args[0] === 0 ? 0 : fail(E.EINVAL)),
  // ptrace and process_vm access are refused.
  ptrace: ({ kernel }) => {
    kernel.warnOnce('ptrace', {}, 'ptrace is refused in diversions');
    return fail(E.EPERM);
  },
  capget: () => fail(E.EPERM),
  set_tid_address: ({ thread, args }) => {
    thread.task.clearTid = gva(args[0]);
    return thread.tid;
  },
};

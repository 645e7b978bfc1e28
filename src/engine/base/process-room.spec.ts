import { describe, expect, it } from 'vitest';
import { type ProcFiles, processRoom } from './process-room.js';

const files = (known: Record<string, string>): ProcFiles => ({
  read: (file) => known[file] ?? '',
  list: (folder) => (folder === '/proc' ? ['1', '20', '21', 'self', 'cpuinfo'] : []),
});

const status = (uid: number, threads: number, capabilities = '0'): string =>
  `Name:\tx\nUid:\t${uid}\t${uid}\t${uid}\t${uid}\nThreads:\t${threads}\nCapEff:\t${capabilities}\n`;

const limits = (most: string): string =>
  `Limit                     Soft Limit           Hard Limit           Units\nMax processes             ${most}                 ${most}                 processes\n`;

const processes = {
  '/proc/1/status': status(0, 3),
  '/proc/20/status': status(7, 11),
  '/proc/21/status': status(7, 2),
};

describe('room for processes', () => {
  it('is what the limit of the user leaves', () => {
    const here = { ...processes, '/proc/self/limits': limits('20'), '/proc/self/status': status(7, 11) };
    expect(processRoom(files(here))).toBe(7);
    expect(processRoom(files({ ...here, '/proc/self/limits': limits('10') }))).toBe(0);
    expect(processRoom(files({ ...here, '/proc/self/limits': limits('unlimited') }))).toBe(Infinity);
  });

  it('has no limit for who may pass over it', () => {
    const here = { ...processes, '/proc/self/limits': limits('20') };
    expect(processRoom(files({ ...here, '/proc/self/status': status(0, 1) }))).toBe(Infinity);
    expect(processRoom(files({ ...here, '/proc/self/status': status(7, 1, '1000000') }))).toBe(Infinity);
  });

  it('is what the control groups leave', () => {
    const here = {
      '/proc/self/cgroup': '0::/pod/a\n',
      '/sys/fs/cgroup/pod/a/pids.max': 'max\n',
      '/sys/fs/cgroup/pod/pids.max': '100\n',
      '/sys/fs/cgroup/pod/pids.current': '88\n',
    };
    expect(processRoom(files(here))).toBe(12);
    const old = {
      '/proc/self/cgroup': '12:pids:/a\n0::/\n',
      '/sys/fs/cgroup/pids/a/pids.max': '30\n',
      '/sys/fs/cgroup/pids/a/pids.current': '31\n',
    };
    expect(processRoom(files(old))).toBe(0);
    expect(processRoom(files({}))).toBe(Infinity);
  });
});

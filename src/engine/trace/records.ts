/** Decoded records of the `version`, `mmaps` and `tasks` files of a trace. All fields of the schema but those of aarch64. */

export type Ternary = 'unknown' | 'true' | 'false';

/** One result of CPUID on the recording machine; `ecxIn` 0xffffffff: does not depend on ECX. */
export interface CpuidRecord {
  eaxIn: number;
  ecxIn: number;
  eax: number;
  ebx: number;
  ecx: number;
  edx: number;
}

export interface UtsName {
  sysname: string;
  nodename: string;
  release: string;
  version: string;
  machine: string;
  domainname: string;
}

export interface TraceHeader {
  version: number;
  uuid: Uint8Array;
  bindToCpu: number;
  hasCpuidFaulting: boolean;
  cpuidRecords: CpuidRecord[];
  syscallbufProtocolVersion: number;
  /** Recorded XCR0; 0n when the trace does not say. */
  xcr0: bigint;
  ticksSemantics: 'retired-conditional-branches' | 'taken-branches';
  ok: boolean;
  preloadThreadLocalsRecorded: boolean;
  rrcallBase: number;
  nativeArch: number;
  quirks: {
    explicitProcMem: boolean;
    specialLibrrpage: boolean;
    pkeyAllocRecordedExtraRegs: boolean;
    bufferedSyscallForcedTick: boolean;
    usesGlobalsInReplay: boolean;
  };
  xsaveFipFdpQuirk: Ternary;
  fdpExceptionOnlyQuirk: Ternary;
  clearFipFdp: boolean;
  chaosMode: Ternary;
  exclusionRangeStart: bigint;
  exclusionRangeEnd: bigint;
  requiredForwardCompatibilityVersion: number;
  runtimePageSize: number;
  preloadLibraryPageSize: number;
  syscallbufFdsDisabledSize: number;
  syscallbufHdrSize: number;
  uname: UtsName;
  /** Bits of virtual address used while recording; 0 = not stated. */
  maxVirtualAddressSize: number;
  cpuImproperlyConfigured: Ternary;
}

export type MMapSource =
  | { kind: 'zero' }
  | { kind: 'trace' }
  /** `backingFileName` as recorded: relative to the trace directory unless it begins with `/`. */
  | { kind: 'file'; backingFileName: string };

export interface MMapRecord {
  frameTime: number;
  /** Page-aligned; checked by the reader to be below 2^47 and start <= end. */
  start: number;
  end: number;
  fsname: string;
  device: bigint;
  inode: bigint;
  prot: number;
  flags: number;
  fileOffsetBytes: number;
  statMode: number;
  statUid: number;
  statGid: number;
  statSize: number;
  statMTime: number;
  source: MMapSource;
  extraFds: { tid: number; fd: number }[];
  skipMonitoringMappedFd: boolean;
}

export type TaskEventRecord = { frameTime: number; tid: number } & (
  | { kind: 'clone'; parentTid: number; flags: number; ownNsTid: number }
  | {
      kind: 'exec';
      fileName: string;
      cmdLine: string[];
      exeBase: bigint;
      interpBase: bigint;
      interpName: string;
      pacData: Uint8Array;
    }
  | { kind: 'exit'; exitStatus: number }
  | { kind: 'detach' }
);

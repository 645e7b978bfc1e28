# The messages of trace version 85, as rr 5.6 to 5.10 and the sources after it write them. The layout is what the
# reader has to agree with; it follows from the numbers, types and groups. The specs encode every field from here
# with the `capnp` tool.

@0xd1f0a6c3b7e24985;

# In `version`, behind the line with the version number.
struct Header {
  uuid @0 :Data;
  bindToCpu @1 :Int32;
  ticksSemantics @6 :TicksSemantics;
  syscallbufProtocolVersion @4 :UInt16;
  ok @7 :Bool = true;
  preloadThreadLocalsRecorded @8 :Bool = false;
  rrcallBase @9 :Int32 = 442;
  nativeArch @10 :Arch = x8664;
  x86 :group {
    hasCpuidFaulting @2 :Bool;
    # 24 bytes each: EAX and ECX in, EAX, EBX, ECX and EDX out.
    cpuidRecords @3 :Data;
    xcr0 @5 :UInt64;
    xsaveFipFdpQuirk @12 :Ternary = unknown;
    fdpExceptionOnlyQuirk @13 :Ternary = unknown;
    clearFipFdp @14 :Bool = false;
  }
  # Of no use to a reader that refuses this architecture.
  aarch64 :group {
    hasPAuth @30 :Bool;
    hasTPIDR @31 :Bool;
  }
  quirks :group {
    explicitProcMem @11 :Bool = true;
    specialLibrrpage @15 :Bool = true;
    pkeyAllocRecordedExtraRegs @20 :Bool = false;
    bufferedSyscallForcedTick @21 :Bool = false;
    usesGlobalsInReplay @24 :Bool = true;
  }
  chaosMode @16 :Ternary = unknown;
  exclusionRangeStart @17 :UInt64;
  exclusionRangeEnd @18 :UInt64;
  requiredForwardCompatibilityVersion @19 :Int32;
  runtimePageSize @22 :UInt32 = 4096;
  preloadLibraryPageSize @23 :UInt32 = 4096;
  syscallbufFdsDisabledSize @25 :UInt32 = 1024;
  syscallbufHdrSize @26 :UInt32 = 30;
  uname @27 :UtsName;
  maxVirtualAddressSize @28 :UInt8 = 0;
  cpuImproperlyConfigured @29 :Ternary = unknown;
}

enum TicksSemantics {
  retiredConditionalBranches @0;
  takenBranches @1;
}

# rr has two enumerations with these three values.
enum Ternary {
  unknown @0;
  knownTrue @1;
  knownFalse @2;
}

enum Arch {
  x86 @0;
  x8664 @1;
  aarch64 @2;
}

struct UtsName {
  sysname @0 :Data;
  nodename @1 :Data;
  release @2 :Data;
  version @3 :Data;
  machine @4 :Data;
  domainname @5 :Data;
}

# In `mmaps`.
struct MMap {
  frameTime @0 :Int64;
  start @1 :UInt64;
  end @2 :UInt64;
  fsname @3 :Data;
  device @4 :UInt64;
  inode @5 :UInt64;
  prot @6 :Int32;
  flags @7 :Int32;
  fileOffsetBytes @8 :Int64;
  statMode @9 :UInt32;
  statUid @10 :UInt32;
  statGid @11 :UInt32;
  statSize @12 :Int64;
  statMTime @13 :Int64;
  source :union {
    zero @14 :Void;
    trace @15 :Void;
    file :group {
      backingFileName @16 :Data;
    }
  }
  extraFds @17 :List(RemoteFd);
  skipMonitoringMappedFd @18 :Bool;
}

struct RemoteFd {
  tid @0 :Int32;
  fd @1 :Int32;
}

# In `tasks`.
struct TaskEvent {
  frameTime @0 :Int64;
  tid @1 :Int32;
  union {
    clone :group {
      parentTid @2 :Int32;
      flags @3 :Int32;
      ownNsTid @4 :Int32;
    }
    exec :group {
      fileName @5 :Data;
      cmdLine @6 :List(Data);
      exeBase @8 :UInt64;
      interpBase @10 :UInt64;
      interpName @11 :Data;
      pacData @12 :RawBytes;
    }
    exit :group {
      exitStatus @7 :Int32;
    }
    detach :group {
      none @9 :Void;
    }
  }
}

# Three of rr's structs look like this: registers, extra registers, keys of pointer authentication.
struct RawBytes {
  raw @0 :Data;
}

# In `events`.
struct Frame {
  tid @0 :Int32;
  ticks @1 :Int64;
  monotonicSec @2 :Float64;
  memWrites @3 :List(MemWrite);
  arch @4 :Arch;
  registers @5 :RawBytes;
  extraRegisters @6 :RawBytes;
  inSyscallbufSyscallHook @30 :UInt64;
  event :union {
    instructionTrap @7 :Void;
    patchSyscall @8 :Void;
    syscallbufAbortCommit @9 :Void;
    syscallbufReset @10 :Void;
    sched @11 :Void;
    growMap @12 :Void;
    signal @13 :Signal;
    signalDelivery @14 :Signal;
    signalHandler @15 :Signal;
    exit @16 :Void;
    syscallbufFlush :group {
      mprotectRecords @17 :Data;
    }
    syscall :group {
      arch @18 :Arch;
      number @19 :Int32;
      state @20 :SyscallState;
      failedDuringPreparation @21 :Bool;
      extra :union {
        none @22 :Void;
        writeOffset @23 :Int64;
        execFdsToClose @24 :List(Int32);
        openedFds @25 :List(OpenedFd);
        socketAddrs :group {
          localAddr @28 :Data;
          remoteAddr @29 :Data;
        }
        madviseRanges @32 :List(MemRange);
      }
    }
    patchAfterSyscall @26 :Void;
    patchVsyscall @27 :Void;
    patchTrappingInstruction @31 :Void;
  }
}

struct MemWrite {
  tid @0 :Int32;
  addr @1 :UInt64;
  size @2 :UInt64;
  holes @3 :List(WriteHole);
  sizeIsConservative @4 :Bool;
}

struct WriteHole {
  offset @0 :UInt64;
  size @1 :UInt64;
}

struct Signal {
  siginfoArch @0 :Arch;
  siginfo @1 :Data;
  deterministic @2 :Bool;
  disposition @3 :Disposition;
}

enum Disposition {
  fatal @0;
  userHandler @1;
  ignored @2;
}

enum SyscallState {
  enteringPtrace @0;
  entering @1;
  exiting @2;
}

struct OpenedFd {
  fd @0 :Int32;
  path @1 :Data;
  device @2 :UInt64;
  inode @3 :UInt64;
}

struct MemRange {
  start @0 :UInt64;
  end @1 :UInt64;
}

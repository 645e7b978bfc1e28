// Values of every kind that Rust has without its standard library, for a debugger to print: at shapes::look.
// Build: rustc -g -C opt-level=0 -C panic=abort -C target-feature=+crt-static -C relocation-model=static
//   -C link-args='-nostartfiles -nostdlib -static' shapes.rs
#![no_std]
#![no_main]

use core::arch::asm;
use core::panic::PanicInfo;

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    exit(101)
}

#[no_mangle]
extern "C" fn rust_eh_personality() {}

#[no_mangle]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, size: usize) -> *mut u8 {
    let mut at = 0;
    while at < size {
        *to.add(at) = *from.add(at);
        at += 1;
    }
    to
}

fn call(number: usize, a: usize, b: usize, c: usize) -> isize {
    let result: isize;
    unsafe {
        asm!("syscall", inlateout("rax") number as isize => result, in("rdi") a, in("rsi") b, in("rdx") c,
             lateout("rcx") _, lateout("r11") _);
    }
    result
}

fn exit(status: i32) -> ! {
    loop {
        call(231, status as usize, 0, 0);
    }
}

fn print(value: u32) {
    let mut text = *b"0000\n";
    let mut rest = value;
    for at in (0..4).rev() {
        text[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    call(1, 1, text.as_ptr() as usize, text.len());
}

#[derive(Clone, Copy, PartialEq)]
enum Color {
    Red,
    Green = 5,
}

#[derive(Clone, Copy)]
enum Shape {
    Circle(f64),
    Square { width: f32, height: f32 },
    Nothing,
}

#[derive(Clone, Copy)]
struct Item<'a> {
    key: i32,
    name: &'a str,
    color: Color,
    shape: Shape,
    next: Option<&'a Item<'a>>,
    pair: (u8, char),
}

impl Item<'_> {
    fn doubled(&self) -> i32 {
        self.key * 2
    }
}

struct Wrapper<T> {
    inner: T,
}

static NUMBERS: [i16; 5] = [1, -2, 3, -4, 5];
static mut COUNTER: u64 = 1 << 40;

#[inline(never)]
fn add(a: i32, b: i32) -> i32 {
    a + b
}

#[inline(never)]
fn half(x: f64) -> f64 {
    x / 2.0
}

#[inline(never)]
fn look(turn: i32, weight: f64, item: &Item, numbers: &[i16], flag: bool) -> i32 {
    let wrapped = Wrapper { inner: turn as u8 };
    let found: Option<i32> = if turn > 1 { Some(turn * 7) } else { None };
    let failed: Result<u8, i64> = Err(-9);
    let local = add(turn, item.doubled()) + numbers.len() as i32 + wrapped.inner as i32;
    unsafe {
        COUNTER += local as u64;
    }
    print(local as u32 + half(weight) as u32 + found.is_some() as u32 + (failed.is_err() && flag) as u32);
    local
}

core::arch::global_asm!(".globl _start", "_start: call start");

#[no_mangle]
extern "C" fn start() -> ! {
    let first = Item { key: 1, name: "first", color: Color::Red, shape: Shape::Circle(1.5), next: None, pair: (7, 'x') };
    let second = Item { key: 2, name: "second", color: Color::Green, shape: Shape::Square { width: 2.0, height: -0.5 }, next: Some(&first), pair: (255, 'é') };
    let third = Item { key: 3, name: "", color: Color::Green, shape: Shape::Nothing, next: Some(&second), pair: (0, ' ') };
    let mut sum = 0;
    for (turn, item) in [first, second, third].iter().enumerate() {
        sum += look(turn as i32, turn as f64 / 4.0, item, &NUMBERS[turn..], turn == 1);
    }
    exit(sum & 63)
}

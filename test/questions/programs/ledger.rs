// A ledger: what developers of Rust ask about at a breakpoint. It stops by `inspect`.
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::rc::Rc;
use std::cell::{Cell, RefCell};
use std::sync::{Arc, Mutex};

#[derive(Debug, Clone, PartialEq)]
pub enum Entry {
    Empty,
    Amount(i64),
    Transfer { from: String, to: String, cents: u32 },
}

#[derive(Debug, Clone, Copy)]
pub struct Point { pub x: f64, pub y: f32 }

pub trait Describe { fn describe(&self) -> String; }
impl Describe for Point { fn describe(&self) -> String { format!("({}, {})", self.x, self.y) } }

#[derive(Debug)]
pub struct Ledger {
    pub entries: Vec<Entry>,
    pub names: BTreeMap<u32, String>,
    pub index: HashMap<String, usize>,
    pub owner: Option<Box<Point>>,
    pub shared: Rc<RefCell<i32>>,
    pub count: Cell<u8>,
    pub queue: VecDeque<u16>,
    pub pair: (i32, &'static str, char),
    pub fixed: [u8; 4],
    pub lock: Arc<Mutex<i32>>,
}

impl Ledger {
    #[inline(never)]
    pub fn total(&self) -> i64 {
        self.entries.iter().map(|e| match e { Entry::Amount(a) => *a, Entry::Transfer { cents, .. } => *cents as i64, Entry::Empty => 0 }).sum()
    }
    #[inline(never)]
    pub fn biggest(&self, at_least: i64) -> i64 { at_least.max(self.total()) }
}

// What a debugger calls.
#[no_mangle] pub extern "C" fn dump_ledger(ledger: &Ledger) { for e in &ledger.entries { println!("{:?}", e); } }
#[no_mangle] pub extern "C" fn dump_part(ledger: &Ledger) { print!("<{} entries>", ledger.entries.len()); }
#[no_mangle] pub extern "C" fn sum_of(values: *const i32, count: usize) -> i32 { unsafe { std::slice::from_raw_parts(values, count) }.iter().sum() }
#[no_mangle] pub extern "C" fn half_of(value: f64) -> f64 { value / 2.0 }
#[no_mangle] pub extern "C" fn panics(ledger: &Ledger) -> i32 {
    let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| ledger.entries[99].clone()));
    if caught.is_err() { -1 } else { 1 }
}

pub static LIMIT: i32 = 77;
pub static mut COUNTER: u64 = 0;

#[inline(never)]
pub fn inspect(ledger: &Ledger, round: i32, why: &str) -> i64 {
    let numbers = [10i32, 20, 30, 40];
    let slice = &numbers[1..3];
    let text = String::from("caf\u{e9}");
    let nothing: Option<i32> = None;
    let something: Option<u8> = Some(5);
    let result: Result<i32, String> = Err("wrong".to_string());
    let point = Point { x: 1.5, y: -2.25 };
    let shown: &dyn Describe = &point;
    let boxed = Box::new(point);
    let closure = |n: i32| n + round;
    unsafe { COUNTER += 1 };
    let sum = ledger.total() + closure(1) as i64;
    std::hint::black_box((&slice, &text, &nothing, &something, &result, &shown, &boxed));
    sum + why.len() as i64 // stop here
}

#[inline(never)]
fn recurse(ledger: &Ledger, levels: u32) -> i64 {
    if levels == 0 { return inspect(ledger, 2, "deep"); }
    let below = recurse(ledger, levels - 1);
    below + 1
}

fn main() {
    let mut ledger = Ledger {
        entries: vec![Entry::Amount(250), Entry::Empty],
        names: BTreeMap::from([(1, "one".to_string()), (2, "two".to_string())]),
        index: HashMap::new(),
        owner: None,
        shared: Rc::new(RefCell::new(3)),
        count: Cell::new(9),
        queue: VecDeque::from([1, 2, 3]),
        pair: (-1, "static", 'z'),
        fixed: [1, 2, 250, 255],
        lock: Arc::new(Mutex::new(11)),
    };
    let one = inspect(&ledger, 1, "first");
    ledger.entries.push(Entry::Transfer { from: "a".to_string(), to: "b".to_string(), cents: 1999 });
    ledger.index.insert("total".to_string(), 2);
    ledger.owner = Some(Box::new(Point { x: 0.5, y: 4.0 }));
    let failed = panics(&ledger);
    let biggest = ledger.biggest(5);
    let two = recurse(&ledger, 3);
    let three = inspect(&ledger, 3, "third");
    dump_ledger(&ledger);
    dump_part(&ledger);
    println!("{} {} {} {} {} {}", one, two, three, failed, half_of(3.0), sum_of([1, 2, 3].as_ptr(), 3));
    println!("{}", biggest);
    inspect(&ledger, 4, "last");
}

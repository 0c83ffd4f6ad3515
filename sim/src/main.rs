use sim::{Seed, run, trace::Trace};
fn main() {
    let args: Vec<String> = std::env::args().collect();
    std::panic::set_hook(Box::new(|_| {}));
    if args[1] == "t" {
        let played = run::seed(Seed(args[2].parse().unwrap()), Trace::Lines(vec![]));
        if let Trace::Lines(lines) = played.trace { for l in lines { println!("{l}"); } }
        println!("{:?}", played.broken);
        return;
    }
    if args[1] == "m" {
        let seed = Seed(args[2].parse().unwrap());
        let played = run::seed(seed, Trace::Off);
        let setting = sim::Setting::of(seed);
        let broken = played.broken.unwrap();
        let steps = sim::minimise::minimise(setting, &played.steps, &broken, std::time::Duration::from_secs(10));
        let played = run::replay(setting, &steps, Trace::Lines(vec![]));
        if let Trace::Lines(lines) = played.trace { for l in lines { println!("{}", &l.chars().take(260).collect::<String>()); } }
        println!("{setting:?} {:?}", played.broken.map(|b| b.0.chars().take(400).collect::<String>()));
        return;
    }
    let from: u64 = args[1].parse().unwrap();
    let n: u64 = args[2].parse().unwrap();
    let mut tally = sim::tally::Tally::default();
    let mut kinds = std::collections::BTreeMap::new();
    for seed in from..from+n {
        let played = run::seed(Seed(seed), Trace::Off);
        tally.add(&played.tally);
        if let Some(b) = played.broken {
            let key = b.kind();
            let e = kinds.entry(key).or_insert((0, seed, played.steps.len(), b.0.clone()));
            e.0 += 1;
            if played.steps.len() < e.2 { *e = (e.0, seed, played.steps.len(), b.0); }
        }
    }
    let mut v: Vec<_> = kinds.into_iter().collect();
    v.sort_by_key(|(_, e)| std::cmp::Reverse(e.0));
    for (_, e) in v { println!("{}x seed {} ({} steps): {}", e.0, e.1, e.2, &e.3[..e.3.len().min(400)]); }
    println!("{} worlds {} steps {} heard {} given", tally.worlds, tally.steps, tally.heard, tally.given);
    for k in sim::tally::Kind::ALL { println!("missing {:?}: {:?}", k, tally.missing(k)); }
}

//! The table that is printed, in Markdown.

/// What is measured, and beside which other row of its group.
pub struct Row<'r> {
    name: String,
    beside: usize,
    run: Box<dyn Fn() -> u32 + 'r>,
}

/// `run` returns nanoseconds.
pub fn row<'r>(name: impl Into<String>, beside: usize, run: impl Fn() -> u32 + 'r) -> Row<'r> {
    Row { name: name.into(), beside, run: Box::new(run) }
}

pub fn head() {
    println!("| what | us | times as long | as |\n| --- | --- | --- | --- |");
}

/// Runs each row once in each turn, in an order that changes. A ratio is that of two runs of the same
/// turn.
pub fn group(title: &str, rounds: usize, rows: &[Row]) {
    let mut times: Vec<Vec<u32>> = rows.iter().map(|_| Vec::with_capacity(rounds)).collect();
    let mut order: Vec<usize> = (0..rows.len()).collect();
    let mut drawn = 1_usize;
    for _ in 0..rounds {
        for place in 1..order.len() {
            drawn = drawn.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            order.swap(place, (drawn >> 33) % (place + 1));
        }
        for &row in &order {
            times[row].push((rows[row].run)());
        }
    }
    println!("| **{title}** | | | |");
    for (row, own) in rows.iter().zip(&times) {
        let beside = &times[row.beside];
        let us = own.iter().map(|&time| f64::from(time) / 1000.0).collect();
        let ratios = own.iter().zip(beside).map(|(&own, &beside)| f64::from(own) / f64::from(beside)).collect();
        let [_, median, _] = spread(us);
        if std::ptr::eq(own, beside) {
            println!("| {} | {median:.0} | | |", row.name);
            continue;
        }
        let [low, ratio, high] = spread(ratios);
        println!("| {} | {median:.0} | {ratio:.2} ({low:.2} to {high:.2}) | {} |", row.name, rows[row.beside].name);
    }
}

/// The first tenth, the median and the last tenth.
fn spread(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [10, 50, 90].map(|percent| values[values.len() * percent / 100])
}

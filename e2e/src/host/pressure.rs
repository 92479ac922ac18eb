//! How much processes of this computer wait for its processors, as the kernel counts it.

/// The part of the last ten seconds, in percent, in which some process was ready to run and did not; nothing where the kernel
/// does not say. See Documentation/accounting/psi.rst of Linux.
pub fn on_processors() -> f32 {
    std::fs::read_to_string("/proc/pressure/cpu")
        .ok()
        .and_then(|text| some_of_ten_seconds(&text))
        .unwrap_or(0.0)
}

fn some_of_ten_seconds(text: &str) -> Option<f32> {
    let some = text.lines().find_map(|line| line.strip_prefix("some "))?;
    some.split(' ').find_map(|word| word.strip_prefix("avg10="))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_the_kernels_figures_those_of_ten_seconds_count() {
        let text = "some avg10=47.86 avg60=19.27 avg300=6.41 total=16605542403\n\
                    full avg10=1.00 avg60=0.00 avg300=0.00 total=0\n";
        assert_eq!(some_of_ten_seconds(text), Some(47.86));
        assert_eq!(some_of_ten_seconds(""), None);
    }
}

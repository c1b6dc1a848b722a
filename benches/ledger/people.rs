//! Invented people, one per number: unique e-mail and phone, names as varied as a list of leads has them.

const FIRST: [&str; 20] = [
    "Ana", "Bruno", "Camila", "Diego", "Elena", "Felipe", "Grace", "Hugo", "Irene", "James",
    "Karla", "Luis", "María", "Noah", "Olivia", "Pedro", "Quinn", "Rosa", "Samuel", "Teresa",
];
const LAST: [&str; 24] = [
    "Alvarez",
    "Brown",
    "Castillo",
    "Díaz",
    "Evans",
    "Flores",
    "García",
    "Hernández",
    "Ibarra",
    "Johnson",
    "Kelly",
    "López",
    "Miller",
    "Navarro",
    "Ortega",
    "Peña",
    "Quiroz",
    "Ramírez",
    "Smith",
    "Torres",
    "Urbina",
    "Vargas",
    "Walker",
    "Young",
];
const AREAS: [u16; 20] = [
    205, 212, 213, 214, 215, 303, 305, 310, 312, 404, 415, 503, 512, 602, 617, 702, 713, 786, 818,
    917,
];
const EXCHANGES: u64 = 800;
const LINES: u64 = 10_000;

/// One of them.
pub struct Person {
    pub first_name: &'static str,
    pub last_name: &'static str,
    pub email: String,
    pub phone: String,
}

/// The person of this number; 160 million are distinct.
pub fn person(number: u64) -> Person {
    let first_name = pick(&FIRST, number);
    let last_name = pick(&LAST, number / FIRST.len() as u64);
    let line = number % LINES;
    let exchange = 200 + number / LINES % EXCHANGES;
    let area = pick(&AREAS, number / (LINES * EXCHANGES));
    Person {
        first_name,
        last_name,
        email: format!("lead{number}@example.com"),
        phone: format!("+1{area}{exchange}{line:04}"),
    }
}

/// The body of a request that creates this person as a lead, with the e-mail of that one.
pub fn create_body(number: u64, email_of: u64) -> String {
    let Person {
        first_name,
        last_name,
        phone,
        ..
    } = person(number);
    let email = person(email_of).email;
    format!(
        r#"{{"first_name":"{first_name}","last_name":"{last_name}","email":"{email}","phone_number":"{phone}"}}"#
    )
}

fn pick<T: Copy>(choices: &[T], number: u64) -> T {
    let index = number % choices.len() as u64;
    // Smaller than the length, so it fits.
    choices[usize::try_from(index).unwrap_or_default()]
}

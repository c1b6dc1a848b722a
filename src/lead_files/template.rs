//! The file that a company's people fill in: its columns, and what may stand in them.

use std::fs::File;
use std::io;

use aggregates::company::campaigns::CampaignStatus;
use aggregates::ids::CompanyId;
use aggregates::stage::Stage;
use chrono::NaiveDate;
use projections::companies::CompanyRow;
use projections::page::{PageFrom, PageRequest};
use projections::questions::QuestionRow;
use projections::{campaigns, questions, sources};
use sqlx::PgConnection;

use super::LEAD_COLUMNS;
use crate::tabular::{CsvWriter, XlsxSheet, XlsxWriter};

/// The name of the sheet that is filled in.
pub const SHEET: &str = "Leads";
/// The name of the sheet that tells what may stand in it.
pub const LISTS: &str = "Lists";
/// A drop-down of more would help nobody.
const MOST_CAMPAIGNS: i64 = 1_000;

/// What a company's leads are sorted by, and what they are asked.
#[derive(Debug)]
pub struct Template {
    sources: Vec<String>,
    campaigns: Vec<String>,
    questions: Vec<QuestionRow>,
}

impl Template {
    /// Of this company: its own catalogues, and those of the companies above it, which serve it too. Campaigns are those that take leads
    /// on this day.
    ///
    /// # Errors
    /// What the database answers.
    pub async fn of(
        connection: &mut PgConnection,
        company: &CompanyRow,
        day: NaiveDate,
    ) -> Result<Self, sqlx::Error> {
        let (mut own_sources, mut own_campaigns) = (Vec::new(), Vec::new());
        for &id in company.path.iter().rev() {
            let rows = sources::of_company(connection, CompanyId(id)).await?;
            own_sources.extend(rows.into_iter().map(|row| row.name));
            let request = PageRequest {
                per_page: MOST_CAMPAIGNS,
                from: PageFrom::Offset(0),
            };
            let active = Some(CampaignStatus::Active);
            let (page, _) =
                campaigns::page(connection, CompanyId(id), None, active, &request).await?;
            let open = page.rows.into_iter();
            let open = open.filter(|row| row.end_date.is_none_or(|last| day <= last));
            own_campaigns.extend(open.map(|row| row.name));
        }
        Ok(Self {
            sources: own_sources,
            campaigns: own_campaigns,
            questions: questions_of(connection, company).await?,
        })
    }

    /// The columns.
    #[must_use]
    pub fn header(&self) -> Vec<String> {
        let fixed = LEAD_COLUMNS.iter().map(|&name| name.to_owned());
        let asked = self.questions.iter().map(|question| question.text.clone());
        fixed.chain(asked).collect()
    }

    /// The header alone.
    ///
    /// # Errors
    /// None in practice: it is written to memory.
    pub fn csv(&self) -> io::Result<Vec<u8>> {
        let mut writer = CsvWriter::new(Vec::new());
        writer.write_row(self.header().iter().map(String::as_str))?;
        writer.finish()
    }

    /// A sheet to fill in, and one with the stages, sources, campaigns and options that its drop-downs offer.
    ///
    /// # Errors
    /// What the disk answers.
    pub fn xlsx(&self, to: &File) -> io::Result<()> {
        let mut writer = XlsxWriter::new(SHEET, &self.header())?;
        writer.add_lists(&self.lists())?;
        writer.finish(to)
    }

    fn lists(&self) -> XlsxSheet {
        let stages = Stage::ALL.iter().map(|stage| stage.code().to_owned());
        let mut columns = vec![
            ("stage".to_owned(), stages.collect()),
            ("source".to_owned(), self.sources.clone()),
            ("campaign".to_owned(), self.campaigns.clone()),
        ];
        let mut offered = Vec::new();
        for (name, list) in [("stage", 0), ("source", 1), ("campaign", 2)] {
            let place = LEAD_COLUMNS
                .iter()
                .zip(0..)
                .find(|(there, _)| **there == name);
            offered.extend(place.map(|(_, place)| (place, list)));
        }
        let first_question = (LEAD_COLUMNS.len()..).zip(&self.questions);
        for (place, question) in first_question {
            let options = options_of(question);
            // Several options stand in one cell, with commas: a drop-down would take only one.
            if question.question_type != "multiple_choice"
                && !options.is_empty()
                && let (Ok(place), Ok(list)) = (u16::try_from(place), u16::try_from(columns.len()))
            {
                offered.push((place, list));
            }
            columns.push((question.text.clone(), options));
        }
        XlsxSheet {
            name: LISTS.to_owned(),
            columns,
            offered,
        }
    }
}

fn options_of(question: &QuestionRow) -> Vec<String> {
    if question.question_type == "boolean" {
        return vec!["true".to_owned(), "false".to_owned()];
    }
    let options = question.options.iter();
    options.map(|option| option.value.clone()).collect()
}

/// What the company asks, and what the companies above it ask for it.
///
/// # Errors
/// What the database answers.
pub(super) async fn questions_of(
    connection: &mut PgConnection,
    company: &CompanyRow,
) -> Result<Vec<QuestionRow>, sqlx::Error> {
    let mut all = Vec::new();
    for &id in company.path.iter().rev() {
        all.extend(questions::of_company(connection, CompanyId(id)).await?);
    }
    Ok(all)
}

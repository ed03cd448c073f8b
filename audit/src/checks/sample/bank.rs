use super::*;

/// The commands, the banks' answers to them, and the statement.
pub(super) fn at_the_bank(data: &mut Data) {
    let bank = data.reasons.code("004");
    let contract = Contract {
        bank,
        bank_code: "004".to_string(),
        account: "1".to_string(),
    };
    data.tables.contracts.push(contract);
    let mut lines = vec![line(bank, 1, LineKind::Opening, 1_000_000)];
    let asked = [
        (Flow::Recharge, RECHARGED, 20_000, Stage::Completed),
        (Flow::Remittance, PAID_OUT, 5_000, Stage::Completed),
        (Flow::Settlement, payout(), 2_970, Stage::Completed),
        (Flow::Firmbanking, 0, 4_000, Stage::Completed),
        (Flow::Remittance, AWAITING, 7_000, Stage::Awaits),
    ];
    for (number, (flow, origin, amount, stage)) in (0..).zip(asked) {
        let id = if origin == 0 {
            DIRECT
        } else {
            command_of(origin)
        };
        let kind = if origin == 0 {
            Kind::Plain
        } else {
            Kind::Follows
        };
        let request = message(id, number, 0, amount, kind);
        let firmbanking = data.flow_mut(Flow::Firmbanking);
        firmbanking.messages.push(request);
        firmbanking.rows.push(row(&request, true));
        let done = stage == Stage::Completed;
        if done {
            firmbanking.results.push(result(id, number, FEE));
            let sign = if flow == Flow::Recharge { 1 } else { -1 };
            let line = line(bank, number + 2, LineKind::Transfer, sign * amount);
            lines.push(Line {
                number: Some((9_000, number as i32 + 1)),
                fee: FEE,
                ..line
            });
        } else if let Some(row) = firmbanking.rows.last_mut() {
            row.status = Status::Processing;
        }
        if done && flow != Flow::Firmbanking {
            let (asked_by, id) = (id, derived(id, "result"));
            let place = place(Source::Bank, number);
            let answer = Message {
                place,
                ..message(id, number, asked_by, amount, Kind::Follows)
            };
            data.flow_mut(flow).messages.push(answer);
            data.flow_mut(flow).rows.push(row(&answer, true));
        }
        let purpose = if origin == 0 { "staff" } else { flow.name() };
        data.tables.commands.push(Command {
            id,
            origin,
            purpose: data.reasons.code(purpose),
            from_bank: bank,
            from_ours: flow != Flow::Recharge,
            to_bank: bank,
            to_ours: flow == Flow::Recharge,
            amount,
            fee: if done { FEE } else { 0 },
            number: Some((9_000, number as i32 + 1)),
            state: if done { State::Done } else { State::Live },
        });
    }
    let awaited = |id, amount, fee, stage| Awaited {
        id,
        member: MEMBER,
        amount,
        fee,
        bank,
        command: command_of(id),
        stage,
    };
    data.tables
        .recharges
        .push(awaited(RECHARGED, 20_000, 0, Stage::Completed));
    data.tables
        .remittances
        .push(awaited(PAID_OUT, 5_000, 500, Stage::Completed));
    data.tables
        .remittances
        .push(awaited(AWAITING, 7_000, 500, Stage::Awaits));
    data.tables.payouts.push(Payout {
        id: payout(),
        run: RUN,
        franchise: FRANCHISE,
        gross: 3_000,
        cancelled: 0,
        commission: 30,
        owed: 0,
        net: 2_970,
        bank,
        command: command_of(payout()),
        stage: Stage::Completed,
        made_at: AT as i64,
    });
    lines.sort_by_key(|line| (line.key(), line.line_number));
    data.bank = Some(Ok(Bank {
        lines,
        balances: vec![(bank, 1_006_830)],
    }));
}

fn line(bank: u32, line_number: i64, kind: LineKind, amount: i64) -> Line {
    let executed_by = if kind == LineKind::Opening { 0 } else { bank };
    Line {
        bank,
        line_number,
        kind,
        executed_by,
        number: None,
        amount,
        fee: 0,
    }
}

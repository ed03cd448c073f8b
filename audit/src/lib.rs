//! Compares topics, queue_log, ledger and bank statement

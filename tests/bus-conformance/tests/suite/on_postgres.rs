//! The suite on PostgreSQL.

use sandbus_bus_conformance::PostgresFixture;

sandbus_host::bus_conformance!(PostgresFixture);

//! Statements that define tables, indexes and views, on connections that admit them: CREATE, ALTER, DROP, TRUNCATE and
//! COMMENT ON. As in [`writes`](super::writes), all fields are named.

use sqlparser::ast::{
    AlterColumnOperation, AlterTable, AlterTableOperation, ColumnDef, ColumnOption, CommentObject, CreateIndex,
    CreateTable, CreateTableOptions, CreateView, HiveDistributionStyle, ObjectType, RenameTableNameKind, SqlOption,
    Statement, TableConstraint, Truncate,
};
use sqlparser::tokenizer::Span;

use super::check::Policy;
use super::query;
use super::tree::{Checked, refuse_words};
use super::writes::target;

/// Where the parser gives a clause no place, these words show it.
const CLAUSES: &[&str] = &[
    "TABLESPACE",
    "INHERITS",
    "ENGINE",
    "DATA DIRECTORY",
    "INDEX DIRECTORY",
    "CONNECTION",
    "DEFINER",
    "SQL SECURITY",
    "OWNER",
    "DISABLE",
    "ENABLE",
    "REPLICA",
    "EXCLUDE",
    "PARTITION",
    "LOCATION",
    "CLUSTER",
    "WITH",
    "DATABASE",
    "SCHEMA",
    "ROLE",
    "USER",
    "SEQUENCE",
    "FUNCTION",
    "PROCEDURE",
    "TYPE",
    "DOMAIN",
    "EXTENSION",
];

/// CREATE, ALTER, DROP, TRUNCATE and COMMENT ON.
pub(super) fn check(statement: &Statement, first: Span, policy: &Policy) -> Checked {
    match statement {
        Statement::CreateTable(statement) => create_table(statement, first, policy),
        Statement::CreateIndex(statement) => create_index(statement, first, policy),
        Statement::CreateView(statement) => create_view(statement, first, policy),
        Statement::AlterTable(statement) => alter_table(statement, first, policy),
        Statement::Drop {
            object_type: ObjectType::Table | ObjectType::View | ObjectType::MaterializedView | ObjectType::Index,
            if_exists: _,
            names,
            cascade: _,
            restrict: _,
            purge: false,
            temporary: _,
            table,
        } => names.iter().chain(table).try_for_each(|name| target(name, policy)),
        Statement::Truncate(Truncate {
            table_names,
            partitions: None,
            table: _,
            if_exists: _,
            identity: _,
            cascade: _,
            on_cluster: None,
        }) => table_names.iter().try_for_each(|table| target(&table.name, policy)),
        Statement::Comment {
            object_type:
                CommentObject::Table
                | CommentObject::Column
                | CommentObject::View
                | CommentObject::MaterializedView
                | CommentObject::Index,
            object_name,
            comment: _,
            if_exists: _,
        } => target(object_name, policy),
        _ => unknown_clause(first),
    }
}

fn unknown_clause(first: Span) -> Checked {
    refuse_words(first, CLAUSES, "a clause of this statement is not allowed")
}

/// Whether all of these are so; otherwise the statement is refused.
fn require(holds: bool, first: Span) -> Checked {
    if holds { Ok(()) } else { unknown_clause(first) }
}

#[allow(clippy::too_many_lines, reason = "one line for each field")]
fn create_table(statement: &CreateTable, first: Span, policy: &Policy) -> Checked {
    let CreateTable {
        or_replace: _,
        temporary: _,
        unlogged: _,
        external,
        dynamic,
        global: _,
        if_not_exists: _,
        transient,
        volatile,
        iceberg,
        snapshot,
        name,
        columns,
        constraints,
        hive_distribution,
        hive_formats,
        table_options,
        file_format,
        location,
        query: _,
        without_rowid: _,
        like: _,
        clone,
        version,
        comment: _,
        on_commit: _,
        on_cluster,
        primary_key,
        order_by,
        partition_by,
        cluster_by,
        clustered_by,
        inherits,
        partition_of,
        for_values,
        strict: _,
        copy_grants,
        enable_schema_evolution,
        change_tracking,
        data_retention_time_in_days,
        max_data_extension_time_in_days,
        default_ddl_collation,
        with_aggregation_policy,
        with_row_access_policy,
        with_storage_lifecycle_policy,
        with_tags,
        external_volume,
        with_connection,
        base_location,
        catalog,
        catalog_sync,
        storage_serialization_policy,
        target_lag,
        warehouse,
        refresh_mode,
        initialize,
        require_user,
        diststyle,
        distkey,
        sortkey,
        backup,
        multiset,
        fallback,
        with_data,
    } = statement;
    let flags = [external, dynamic, transient, volatile, iceberg, snapshot, copy_grants, require_user];
    let plain = !flags.into_iter().any(|flag| *flag)
        && *hive_distribution == HiveDistributionStyle::NONE
        && hive_formats.as_ref().is_none_or(|formats| *formats == sqlparser::ast::HiveFormat::default())
        && file_format.is_none()
        && location.is_none()
        && clone.is_none()
        && version.is_none()
        && on_cluster.is_none()
        && primary_key.is_none()
        && order_by.is_none()
        && partition_by.is_none()
        && cluster_by.is_none()
        && clustered_by.is_none()
        && inherits.is_none()
        && partition_of.is_none()
        && for_values.is_none()
        && enable_schema_evolution.is_none()
        && change_tracking.is_none()
        && data_retention_time_in_days.is_none()
        && max_data_extension_time_in_days.is_none()
        && default_ddl_collation.is_none()
        && with_aggregation_policy.is_none()
        && with_row_access_policy.is_none()
        && with_storage_lifecycle_policy.is_none()
        && with_tags.is_none()
        && external_volume.is_none()
        && with_connection.is_none()
        && base_location.is_none()
        && catalog.is_none()
        && catalog_sync.is_none()
        && storage_serialization_policy.is_none()
        && target_lag.is_none()
        && warehouse.is_none()
        && refresh_mode.is_none()
        && initialize.is_none()
        && diststyle.is_none()
        && distkey.is_none()
        && sortkey.is_none()
        && backup.is_none()
        && multiset.is_none()
        && fallback.is_none()
        && with_data.is_none();
    require(plain, first)?;
    require(columns.iter().all(is_plain_column) && constraints.iter().all(is_plain_constraint), first)?;
    table_options_allowed(table_options, first)?;
    target(name, policy)
}

/// Options that only describe: not where files lie, and no engine that reads files or other servers.
fn table_options_allowed(options: &CreateTableOptions, first: Span) -> Checked {
    let options = match options {
        CreateTableOptions::None => return Ok(()),
        CreateTableOptions::Plain(options) => options,
        CreateTableOptions::With(_) | CreateTableOptions::Options(_) | CreateTableOptions::TableProperties(_) => {
            return unknown_clause(first);
        }
    };
    let describes = |option: &SqlOption| match option {
        SqlOption::Comment(_) => true,
        SqlOption::KeyValue { key, value: _ } => [
            "auto_increment",
            "charset",
            "character set",
            "default charset",
            "default character set",
            "collate",
            "default collate",
            "row_format",
        ]
        .iter()
        .any(|name| key.value.eq_ignore_ascii_case(name)),
        SqlOption::NamedParenthesizedList(list) => {
            list.key.value.eq_ignore_ascii_case("engine")
                && list.values.is_empty()
                && list.name.as_ref().is_some_and(|engine| {
                    ["innodb", "aria", "myisam", "memory"].iter().any(|name| engine.value.eq_ignore_ascii_case(name))
                })
        }
        SqlOption::Clustered(_) | SqlOption::Ident(_) | SqlOption::Partition { .. } | SqlOption::TableSpace(_) => false,
    };
    require(options.iter().all(describes), first)
}

fn is_plain_column(column: &ColumnDef) -> bool {
    column.options.iter().all(|option| is_plain_option(&option.option))
}

fn is_plain_option(option: &ColumnOption) -> bool {
    match option {
        ColumnOption::Null
        | ColumnOption::NotNull
        | ColumnOption::Default(_)
        | ColumnOption::PrimaryKey(_)
        | ColumnOption::Unique(_)
        | ColumnOption::ForeignKey(_)
        | ColumnOption::Check(_)
        | ColumnOption::CharacterSet(_)
        | ColumnOption::Collation(_)
        | ColumnOption::Comment(_)
        | ColumnOption::OnUpdate(_)
        | ColumnOption::Generated { .. }
        | ColumnOption::Identity(_)
        | ColumnOption::OnConflict(_)
        | ColumnOption::Invisible => true,
        ColumnOption::DialectSpecific(tokens) => tokens.iter().all(|token| {
            // AUTO_INCREMENT and AUTOINCREMENT.
            token.to_string().to_ascii_lowercase().starts_with("auto")
        }),
        ColumnOption::Materialized(_)
        | ColumnOption::Ephemeral(_)
        | ColumnOption::Alias(_)
        | ColumnOption::Options(_)
        | ColumnOption::Policy(_)
        | ColumnOption::Tags(_)
        | ColumnOption::Srid(_) => false,
    }
}

fn is_plain_constraint(constraint: &TableConstraint) -> bool {
    match constraint {
        TableConstraint::Unique(_)
        | TableConstraint::PrimaryKey(_)
        | TableConstraint::ForeignKey(_)
        | TableConstraint::Check(_)
        | TableConstraint::Index(_)
        | TableConstraint::FulltextOrSpatial(_)
        | TableConstraint::PrimaryKeyUsingIndex(_)
        | TableConstraint::UniqueUsingIndex(_) => true,
        // Its operators may be anybody's.
        TableConstraint::Exclude(_) => false,
    }
}

fn create_index(statement: &CreateIndex, first: Span, policy: &Policy) -> Checked {
    let CreateIndex {
        name,
        table_name,
        using: _,
        columns,
        unique: _,
        concurrently: _,
        r#async,
        if_not_exists: _,
        include: _,
        nulls_distinct: _,
        with,
        predicate: _,
        index_options: _,
        alter_options: _,
    } = statement;
    require(!r#async && with.is_empty(), first)?;
    columns.iter().try_for_each(|column| query::sort(&column.column))?;
    name.iter().try_for_each(|name| target(name, policy))?;
    target(table_name, policy)
}

fn create_view(statement: &CreateView, first: Span, policy: &Policy) -> Checked {
    let CreateView {
        or_alter,
        or_replace: _,
        materialized: _,
        secure,
        name,
        name_before_not_exists: _,
        columns: _,
        query: _,
        options,
        cluster_by,
        comment: _,
        with_no_schema_binding,
        if_not_exists: _,
        temporary: _,
        copy_grants,
        to,
        params,
    } = statement;
    let plain = !or_alter
        && !secure
        && matches!(options, CreateTableOptions::None)
        && cluster_by.is_empty()
        && !with_no_schema_binding
        && !copy_grants
        && to.is_none()
        // DEFINER and SQL SECURITY lend somebody's privileges.
        && params.is_none();
    require(plain, first)?;
    target(name, policy)
}

fn alter_table(statement: &AlterTable, first: Span, policy: &Policy) -> Checked {
    let AlterTable { name, if_exists: _, only: _, operations, location, on_cluster, table_type, end_token: _ } =
        statement;
    require(location.is_none() && on_cluster.is_none() && table_type.is_none(), first)?;
    target(name, policy)?;
    operations.iter().try_for_each(|operation| alteration(operation, first, policy))
}

fn alteration(operation: &AlterTableOperation, first: Span, policy: &Policy) -> Checked {
    match operation {
        AlterTableOperation::AddConstraint { constraint, not_valid: _ } => {
            require(is_plain_constraint(constraint), first)
        }
        AlterTableOperation::AddColumn { column_def, .. } => require(is_plain_column(column_def), first),
        AlterTableOperation::ChangeColumn { options, .. } | AlterTableOperation::ModifyColumn { options, .. } => {
            require(options.iter().all(is_plain_option), first)
        }
        AlterTableOperation::RenameTable {
            table_name: RenameTableNameKind::As(name) | RenameTableNameKind::To(name),
        } => target(name, policy),
        AlterTableOperation::AlterColumn { column_name: _, op } => match op {
            AlterColumnOperation::SetNotNull
            | AlterColumnOperation::DropNotNull
            | AlterColumnOperation::SetDefault { .. }
            | AlterColumnOperation::DropDefault
            | AlterColumnOperation::SetDataType { .. }
            | AlterColumnOperation::AddGenerated { .. } => Ok(()),
        },
        AlterTableOperation::DropConstraint { .. }
        | AlterTableOperation::DropColumn { .. }
        | AlterTableOperation::DropPrimaryKey { .. }
        | AlterTableOperation::DropForeignKey { .. }
        | AlterTableOperation::DropIndex { .. }
        | AlterTableOperation::RenameColumn { .. }
        | AlterTableOperation::RenameConstraint { .. }
        | AlterTableOperation::AutoIncrement { .. }
        | AlterTableOperation::ValidateConstraint { .. } => Ok(()),
        // Owners, row security, triggers, rules, replication, partitions, and what other dialects have.
        _ => unknown_clause(first),
    }
}

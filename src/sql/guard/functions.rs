//! Functions that a statement may call: built in, without effects, and blind to files, networks and other sessions.

use std::collections::HashSet;
use std::sync::LazyLock;

use sqlparser::ast::Ident;

use crate::domain::DatabaseKind;

/// The function's name in lower case, when it may be called: on the dialect's list and unqualified (or in `pg_catalog`),
/// or one that the connection allows, spelled with its schema if it is called so.
pub(super) fn allowed_name(idents: &[&Ident], kind: DatabaseKind, allowed: &[String]) -> Option<String> {
    let last = idents.last()?;
    let name = last.value.to_ascii_lowercase();
    let full_name = idents.iter().map(|ident| ident.value.as_str()).collect::<Vec<_>>().join(".");
    if allowed.iter().any(|allowed| allowed.eq_ignore_ascii_case(&full_name)) {
        return Some(name);
    }
    let built_in = match idents {
        [_] => true,
        [schema, _] => kind == DatabaseKind::Postgresql && schema.value == "pg_catalog",
        _ => false,
    };
    // In PostgreSQL a quoted name in capitals is another function than the built-in one.
    let same_function = kind != DatabaseKind::Postgresql || last.quote_style.is_none() || last.value == name;
    (built_in && same_function && list(kind).contains(name.as_str())).then_some(name)
}

/// Whether `x.name` could make PostgreSQL call a function that is not allowed.
///
/// There any function may follow the dot; these are the built-in ones (and those of dblink) that have effects, reach outside,
/// or run SQL from a string. Columns are hardly ever named like them.
pub(super) fn is_forbidden_attribute(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    let name = name.as_str();
    if list(DatabaseKind::Postgresql).contains(name) {
        return false;
    }
    name.starts_with("pg_")
        || name.starts_with("dblink")
        || name.starts_with("binary_upgrade_")
        || ["_to_xml", "_to_xmlschema", "_to_xml_and_xmlschema"].iter().any(|ending| name.ends_with(ending))
        || POSTGRESQL_FORBIDDEN_ATTRIBUTES.contains(name)
}

fn list(kind: DatabaseKind) -> &'static HashSet<&'static str> {
    match kind {
        DatabaseKind::Sqlite => &SQLITE,
        DatabaseKind::Postgresql => &POSTGRESQL,
        DatabaseKind::Mysql => &MYSQL,
    }
}

fn words(text: &'static str) -> HashSet<&'static str> {
    text.split_whitespace().collect()
}

/// <https://sqlite.org/lang_corefunc.html> and its neighbours, without `load_extension`, `edit` and session state.
static SQLITE: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "abs char coalesce concat concat_ws format glob hex if ifnull iif instr length like likelihood likely lower ltrim max
         min nullif octet_length printf quote random randomblob replace round rtrim sign soundex sqlite_version substr
         substring trim typeof unhex unicode unistr unistr_quote unlikely upper zeroblob
         avg count group_concat median percentile percentile_cont percentile_disc string_agg sum total
         row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
         date time datetime julianday unixepoch strftime timediff current_date current_time current_timestamp
         acos acosh asin asinh atan atan2 atanh ceil ceiling cos cosh degrees exp floor ln log log10 log2 mod pi pow power
         radians sin sinh sqrt tan tanh trunc
         json jsonb json_array jsonb_array json_array_length json_error_position json_extract jsonb_extract json_insert
         jsonb_insert json_object jsonb_object json_patch jsonb_patch json_pretty json_quote json_remove jsonb_remove
         json_replace jsonb_replace json_set jsonb_set json_type json_valid json_group_array jsonb_group_array
         json_group_object jsonb_group_object json_each json_tree jsonb_each jsonb_tree generate_series
         bm25 highlight snippet match matchinfo offsets",
    )
});

/// Chapter 9 of the PostgreSQL manual, without functions that write, sleep, lock, notify, read files or settings, run SQL
/// from a string, or show other sessions.
static POSTGRESQL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "any_value array_agg avg bit_and bit_or bit_xor bool_and bool_or count every json_agg json_agg_strict jsonb_agg
         jsonb_agg_strict json_object_agg jsonb_object_agg json_objectagg json_arrayagg max min range_agg
         range_intersect_agg string_agg sum xmlagg corr covar_pop covar_samp regr_avgx regr_avgy regr_count regr_intercept
         regr_r2 regr_slope regr_sxx regr_sxy regr_syy stddev stddev_pop stddev_samp variance var_pop var_samp mode
         percentile_cont percentile_disc grouping
         row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
         abs acos acosd acosh asin asind asinh atan atan2 atan2d atand atanh cbrt ceil ceiling cos cosd cosh cot cotd degrees
         div erf erfc exp factorial floor gamma gcd lcm lgamma ln log log10 min_scale mod pi pow power radians random
         random_normal round scale sign sin sind sinh sqrt tan tand tanh trim_scale trunc width_bucket
         ascii bit_length btrim casefold char_length character_length chr concat concat_ws convert_from convert_to decode
         encode format get_bit get_byte initcap left length lower lpad ltrim md5 normalize octet_length overlay parse_ident
         position quote_ident quote_literal quote_nullable regexp_count regexp_instr regexp_like regexp_match regexp_matches
         regexp_replace regexp_split_to_array regexp_split_to_table regexp_substr repeat replace reverse right rpad rtrim
         set_bit set_byte sha224 sha256 sha384 sha512 split_part starts_with string_to_array string_to_table strpos substr
         substring text to_ascii to_bin to_hex to_oct translate trim unicode_assigned unistr upper crc32 crc32c bit_count
         age clock_timestamp current_date current_time current_timestamp date_add date_bin date_part date_subtract
         date_trunc extract isfinite justify_days justify_hours justify_interval localtime localtimestamp make_date
         make_interval make_time make_timestamp make_timestamptz now statement_timestamp timeofday to_char to_date to_number
         to_timestamp transaction_timestamp timezone date time timestamp timestamptz interval overlaps
         enum_first enum_last enum_range coalesce nullif greatest least num_nonnulls num_nulls
         array_append array_cat array_dims array_fill array_length array_lower array_ndims array_position array_positions
         array_prepend array_remove array_replace array_reverse array_sample array_shuffle array_sort array_to_string
         array_upper cardinality trim_array unnest generate_subscripts generate_series
         isempty lower_inc lower_inf upper_inc upper_inf range_merge multirange int4range int8range numrange tsrange tstzrange
         daterange int4multirange int8multirange nummultirange tsmultirange tstzmultirange datemultirange
         array_to_json json_array json_array_elements json_array_elements_text json_array_length json_build_array
         json_build_object json_each json_each_text json_extract_path json_extract_path_text json_object json_object_keys
         json_populate_record json_populate_recordset json_scalar json_serialize json_strip_nulls json_to_record
         json_to_recordset json_typeof json_value json_query json_exists json_table jsonb_array_elements
         jsonb_array_elements_text jsonb_array_length jsonb_build_array jsonb_build_object jsonb_each jsonb_each_text
         jsonb_extract_path jsonb_extract_path_text jsonb_insert jsonb_object jsonb_object_keys jsonb_path_exists
         jsonb_path_exists_tz jsonb_path_match jsonb_path_match_tz jsonb_path_query jsonb_path_query_array
         jsonb_path_query_array_tz jsonb_path_query_first jsonb_path_query_first_tz jsonb_path_query_tz
         jsonb_populate_record jsonb_populate_recordset jsonb_pretty jsonb_set jsonb_set_lax jsonb_strip_nulls
         jsonb_to_record jsonb_to_recordset jsonb_typeof row_to_json to_json to_jsonb
         array_to_tsvector get_current_ts_config numnode phraseto_tsquery plainto_tsquery querytree setweight strip to_tsquery
         to_tsvector ts_delete ts_filter ts_headline ts_rank ts_rank_cd ts_rewrite tsquery_phrase tsvector_to_array
         websearch_to_tsquery json_to_tsvector jsonb_to_tsvector
         abbrev broadcast family host hostmask inet_merge inet_same_family masklen netmask network set_masklen macaddr8_set7bit
         area box center circle diagonal diameter height isclosed isopen isparallel isperp line lseg npoints path pclose
         point polygon popen radius slope width bound_box
         gen_random_uuid uuidv4 uuidv7 uuid_extract_timestamp uuid_extract_version
         xmlcomment xmlconcat xmlelement xmlforest xmlpi xmltext xmlexists xpath xpath_exists xml_is_well_formed
         xml_is_well_formed_content xml_is_well_formed_document
         hashtext hashint4 hashint8 row row_security_active
         current_catalog current_database current_role current_schema current_schemas current_user session_user user version
         col_description obj_description shobj_description format_type has_any_column_privilege has_column_privilege
         has_database_privilege has_schema_privilege has_table_privilege to_regclass to_regtype to_regproc to_regnamespace
         pg_typeof pg_get_constraintdef pg_get_expr pg_get_indexdef pg_get_serial_sequence pg_get_viewdef pg_get_userbyid
         pg_table_is_visible pg_type_is_visible pg_function_is_visible pg_column_size pg_table_size pg_total_relation_size
         pg_relation_size pg_indexes_size pg_database_size pg_size_pretty pg_size_bytes pg_encoding_to_char pg_input_is_valid",
    )
});

static POSTGRESQL_FORBIDDEN_ATTRIBUTES: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "lo_close lo_creat lo_create lo_export lo_from_bytea lo_get lo_import lo_lseek lo_lseek64 lo_open lo_put lo_tell
         lo_tell64 lo_truncate lo_truncate64 lo_unlink loread lowrite
         nextval setval currval lastval set_config current_setting txid_current txid_current_if_assigned txid_status
         ts_stat query_to_xml cursor_to_xml database_to_xml schema_to_xml table_to_xml
         brin_summarize_new_values brin_summarize_range brin_desummarize_range gin_clean_pending_list
         inet_client_addr inet_server_addr setseed system_identifier",
    )
});

/// Chapter 14 of the MySQL manual and MariaDB's built-in functions, without delays, locks, files, session state and keys.
static MYSQL: LazyLock<HashSet<&str>> = LazyLock::new(|| {
    words(
        "avg bit_and bit_or bit_xor count group_concat json_arrayagg json_objectagg max min std stddev stddev_pop stddev_samp
         sum var_pop var_samp variance any_value grouping median percentile_cont percentile_disc
         row_number rank dense_rank percent_rank cume_dist ntile lag lead first_value last_value nth_value
         coalesce if ifnull nullif greatest least interval isnull nvl nvl2 values
         abs acos asin atan atan2 ceil ceiling conv cos cot crc32 crc32c degrees exp floor format ln log log10 log2 mod pi pow
         power radians rand round sign sin sqrt tan truncate div
         ascii bin bit_length bit_count char char_length character_length chr concat concat_ws elt export_set field find_in_set
         from_base64 hex insert instr lcase left length lengthb locate lower lpad ltrim make_set mid natural_sort_key oct
         octet_length ord position quote regexp_instr regexp_like regexp_replace regexp_substr repeat replace reverse right rpad
         rtrim sformat soundex space strcmp substr substring substring_index to_base64 to_char trim ucase unhex upper
         weight_string charset coercibility collation convert cast binary
         adddate addtime convert_tz curdate current_date current_time current_timestamp curtime date date_add date_format
         date_sub datediff day dayname dayofmonth dayofweek dayofyear extract from_days from_unixtime get_format hour last_day
         localtime localtimestamp makedate maketime microsecond minute month monthname now period_add period_diff quarter
         sec_to_time second str_to_date subdate subtime sysdate time time_format time_to_sec timediff timestamp timestampadd
         timestampdiff to_days to_seconds unix_timestamp utc_date utc_time utc_timestamp week weekday weekofyear year yearweek
         add_months months_between
         json_array json_array_append json_array_insert json_compact json_contains json_contains_path json_depth json_detailed
         json_equals json_exists json_extract json_insert json_keys json_length json_loose json_merge json_merge_patch
         json_merge_preserve json_normalize json_object json_overlaps json_overlaps json_pretty json_query json_quote
         json_remove json_replace json_schema_valid json_schema_validation_report json_search json_set json_storage_size
         json_table json_type json_unquote json_valid json_value member
         md5 sha sha1 sha2 compress uncompress uncompressed_length
         inet_aton inet_ntoa inet6_aton inet6_ntoa is_ipv4 is_ipv4_compat is_ipv4_mapped is_ipv6 is_uuid uuid uuid_to_bin
         bin_to_uuid
         st_area st_asgeojson st_astext st_aswkt st_astext st_buffer st_centroid st_contains st_crosses st_difference
         st_dimension st_disjoint st_distance st_distance_sphere st_envelope st_equals st_geomfromtext st_geometrytype
         st_intersection st_intersects st_isempty st_issimple st_isvalid st_latitude st_length st_longitude st_makeenvelope
         st_numpoints st_overlaps st_pointfromtext st_srid st_touches st_transform st_union st_within st_x st_y point
         linestring polygon
         current_role current_user database schema session_user system_user user version row",
    )
});

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_may_be_named_like_most_things() {
        for name in ["total", "lo_orderkey", "name", "count", "status", "version"] {
            assert!(!is_forbidden_attribute(name), "{name}");
        }
        for name in ["pg_ls_dir", "PG_READ_FILE", "lo_import", "query_to_xml", "nextval", "dblink_exec"] {
            assert!(is_forbidden_attribute(name), "{name}");
        }
    }
}

import java.sql.Connection;
import java.sql.DatabaseMetaData;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.util.ArrayList;
import java.util.List;
import java.util.Properties;

/** What DBeaver does through ClickHouse's JDBC driver as a guest; prints a line for each thing it read. */
public class Guest {
    public static void main(String[] arguments) throws Exception {
        String database = arguments[1];
        Properties properties = new Properties();
        properties.put("user", "default");
        properties.put("password", "");
        String url = arguments[0].replace("http://", "jdbc:clickhouse://") + "/" + database;
        try (Connection connection = DriverManager.getConnection(url, properties)) {
            DatabaseMetaData metadata = connection.getMetaData();
            System.out.println("version " + !metadata.getDatabaseProductVersion().isEmpty());
            print("schemas", metadata.getSchemas(), "TABLE_SCHEM", database);
            print("tables", metadata.getTables(null, database, "numbers", null), "TABLE_NAME", null);
            print("columns", metadata.getColumns(null, database, "numbers", null), "COLUMN_NAME", null);
            String sql = "SELECT toString(value) AS text FROM numbers WHERE key = ? ORDER BY step";
            try (PreparedStatement statement = connection.prepareStatement(sql)) {
                statement.setString(1, "it's");
                print("rows", statement.executeQuery(), "text", null);
            }
            String wide = "SELECT count() AS n FROM (SELECT repeat(toString(number), 20) AS t FROM numbers(100000)) WHERE t != ''";
            print("large", connection.createStatement().executeQuery(wide), "n", null);
            for (String refused : List.of("SELECT no_such FROM numbers", "DROP TABLE points_number")) {
                try {
                    connection.createStatement().execute(refused);
                    System.out.println("done " + refused);
                } catch (SQLException error) {
                    System.out.println("refused " + error.getMessage().replaceAll("(?s).*\\((\\w+)\\)[^)]*$", "$1"));
                }
            }
        }
    }

    private static void print(String title, ResultSet rows, String column, String only) throws SQLException {
        List<String> found = new ArrayList<>();
        while (rows.next()) {
            String value = rows.getString(column);
            if (only == null || only.equals(value)) {
                found.add(value);
            }
        }
        System.out.println(title + " " + String.join(",", found));
    }
}
